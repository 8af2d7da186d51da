namespace Diffract.Cpu.Matmul;

/// <summary>A block of results: rows <see cref="Row"/> and following by columns <see cref="Column"/> and following.</summary>
unsafe struct ProductBlock
{
    public int Worker;
    public int Row;
    public int Rows;
    public int Column;
    public int Columns;

    public float* Values;

    /// <summary>Elements from row to row of <see cref="Values"/>.</summary>
    public nint Stride;
}
