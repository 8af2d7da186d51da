namespace Diffract.Cpu.Matmul;

/// <summary>What a product does with its results instead of writing them: called for every block of a few rows by one panel, which lies in the first-level cache.</summary>
/// <param name="finish">Takes the block's sums.</param>
/// <param name="ahead">Called a few rows at a time while the block is being summed, to fetch what <paramref name="finish"/> will need; or null.</param>
/// <param name="state">Handed to both.</param>
readonly unsafe struct ProductEnd(delegate*<void*, ProductBlock*, void> finish, delegate*<void*, ProductBlock*, int, int, void> ahead, void* state)
{
    public readonly delegate*<void*, ProductBlock*, void> Finish = finish;

    /// <summary>State, block, first row of the block, number of rows.</summary>
    public readonly delegate*<void*, ProductBlock*, int, int, void> Ahead = ahead;

    public readonly void* State = state;
}

/// <summary>A block of results: rows <see cref="Row"/> and following by columns <see cref="Column"/> and following. All blocks of the same rows come from one worker, in the order of their columns.</summary>
unsafe struct ProductBlock
{
    public int Worker;
    public int Row;
    public int Rows;
    public int Column;
    public int Columns;

    /// <summary>True for the first, and for the last, block of its rows.</summary>
    public bool First, Last;

    public float* Values;

    /// <summary>Elements from row to row of <see cref="Values"/>.</summary>
    public nint Stride;
}
