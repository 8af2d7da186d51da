namespace Diffract.Compute.Buffers;

/// <summary>
/// A row-major matrix inside a buffer. <c>Matrix</c> does not own its buffer. A vector is a matrix of one row.
/// </summary>
/// <param name="Buffer">Where the elements lie.</param>
/// <param name="Rows">Number of rows.</param>
/// <param name="Columns">Number of columns.</param>
/// <param name="Stride">Elements from one row to the next; at least <paramref name="Columns"/>.</param>
/// <param name="Offset">First element.</param>
public readonly record struct Matrix(IBuffer Buffer, int Rows, int Columns, int Stride, long Offset = 0)
{
    public ElementType Type => Buffer.Type;

    /// <summary>A fresh host matrix of zeros, tightly packed.</summary>
    public static Matrix Host(int rows, int columns, ElementType type = ElementType.Float32)
        => new(new HostBuffer(type, (long)rows * columns), rows, columns, columns);

    /// <summary>Rows <paramref name="first"/> to <paramref name="first"/> + <paramref name="count"/> - 1.</summary>
    public Matrix SliceRows(int first, int count)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(first);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(first + count, Rows);
        return this with { Rows = count, Offset = Offset + (long)first * Stride };
    }

    /// <summary>Columns <paramref name="first"/> to <paramref name="first"/> + <paramref name="count"/> - 1.</summary>
    public Matrix SliceColumns(int first, int count)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(first);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(first + count, Columns);
        return this with { Columns = count, Offset = Offset + first };
    }

    /// <summary>Pointer to the first element; host buffers of this element type only.</summary>
    public unsafe float* Floats => ((HostBuffer)Buffer).Floats + Offset;

    /// <summary>Row <paramref name="row"/> as a span; host buffers of <see cref="ElementType.Float32"/> only.</summary>
    public unsafe Span<float> Row(int row)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)row, (uint)Rows);
        return new Span<float>(Floats + (long)row * Stride, Columns);
    }

    public override string ToString() => $"[{Rows}, {Columns}] {Type}";
}
