using Diffract.Compute.Buffers;

namespace Diffract.Cpu.Matmul;

/// <summary>
/// A constant second operand in the order in which the tiles read it: panels of <see cref="PanelColumns"/> columns, [panel][k][column], the last one filled with zeros.
/// Made once by <see cref="MatrixProduct.Pack"/>, for weights that many products share; bfloat16 stays bfloat16 and is widened on the way into the cache.
/// </summary>
public sealed class PackedMatrix : IDisposable
{
    internal PackedMatrix(int columns, int depth, int panelColumns, ElementType type)
    {
        Columns = columns;
        Depth = depth;
        PanelColumns = panelColumns;
        Panels = (columns + panelColumns - 1) / panelColumns;
        Buffer = new HostBuffer(type, Math.Max(1, (long)Panels * panelColumns * depth));
    }

    /// <summary>N: columns of the product.</summary>
    public int Columns { get; }

    /// <summary>K: terms of each sum.</summary>
    public int Depth { get; }

    /// <summary>float32 or bfloat16.</summary>
    public ElementType Type => Buffer.Type;

    internal int PanelColumns { get; }

    internal int Panels { get; }

    internal HostBuffer Buffer { get; }

    public void Dispose() => Buffer.Dispose();
}
