using System.Runtime.InteropServices;
using Diffract.Compute.Buffers;

namespace Diffract.Formats;

/// <summary>Tensors to be written, in the order of adding: little-endian, row-major, produced only while they are written.</summary>
public class TensorList
{
    readonly List<(string Name, string Type, long[] Shape, Action<Stream> Write, long Bytes)> _tensors = [];

    /// <summary>Names, types, shapes, what writes the values and how many bytes those take.</summary>
    public IReadOnlyList<(string Name, string Type, long[] Shape, Action<Stream> Write, long Bytes)> Tensors => _tensors;

    /// <summary>Adds all tensors of another list.</summary>
    public void Add(TensorList others) => _tensors.AddRange(others.Tensors);

    public void Add(string name, ReadOnlyMemory<float> values, params long[] shape)
        => AddBytes(name, "F32", shape, values.Length * 4L, s => s.Write(MemoryMarshal.AsBytes(values.Span)));

    public void Add(string name, ReadOnlyMemory<double> values, params long[] shape)
        => AddBytes(name, "F64", shape, values.Length * 8L, s => s.Write(MemoryMarshal.AsBytes(values.Span)));

    public void Add(string name, ReadOnlyMemory<long> values, params long[] shape)
        => AddBytes(name, "I64", shape, values.Length * 8L, s => s.Write(MemoryMarshal.AsBytes(values.Span)));

    public void Add(string name, ReadOnlyMemory<int> values, params long[] shape)
        => AddBytes(name, "I32", shape, values.Length * 4L, s => s.Write(MemoryMarshal.AsBytes(values.Span)));

    /// <summary>A host matrix of float32, written without padding.</summary>
    public void Add(string name, Matrix matrix, params long[] shape)
        => AddBytes(name, "F32", shape, (long)matrix.Rows * matrix.Columns * 4, s =>
        {
            for (int r = 0; r < matrix.Rows; r++)
            {
                s.Write(MemoryMarshal.AsBytes(matrix.Row(r)));
            }
        });

    /// <summary>Values that <paramref name="write"/> produces, <paramref name="bytes"/> in all.</summary>
    public void AddBytes(string name, string type, long[] shape, long bytes, Action<Stream> write)
    {
        long elements = shape.Aggregate(1L, (a, b) => a * b);
        if (elements * TensorEntry.ElementSize(type) != bytes)
        {
            throw new ArgumentException($"tensor {name}: {bytes} bytes do not fill {type} [{string.Join(", ", shape)}]");
        }

        _tensors.Add((name, type, shape, write, bytes));
    }
}
