using Diffract.Compute.Buffers;

namespace Diffract.Formats;

/// <summary>Tensors put together under new names: some of another file's as they lie there, some made from them. It owns that file.</summary>
public sealed unsafe class TensorSet(TensorFile source) : TensorFile(source.FilePath)
{
    readonly Dictionary<string, TensorEntry> _entries = new(StringComparer.Ordinal);
    readonly Dictionary<string, string> _taken = new(StringComparer.Ordinal);
    readonly Dictionary<string, HostBuffer> _made = new(StringComparer.Ordinal);

    public override IReadOnlyDictionary<string, TensorEntry> Tensors => _entries;

    /// <summary>The source's tensor <paramref name="from"/> under the name <paramref name="name"/>.</summary>
    public void Take(string name, string from)
    {
        _entries[name] = source[from] with { Name = name };
        _taken[name] = from;
    }

    /// <summary>A tensor of float32.</summary>
    public void Set(string name, ReadOnlySpan<float> values, params long[] shape) => values.CopyTo(Make(name, "F32", ElementType.Float32, shape).Span<float>());

    /// <summary>A tensor of int32.</summary>
    public void Set(string name, ReadOnlySpan<int> values, params long[] shape) => values.CopyTo(Make(name, "I32", ElementType.Int32, shape).Span<int>());

    public override void Dispose()
    {
        foreach (HostBuffer buffer in _made.Values)
        {
            buffer.Dispose();
        }

        source.Dispose();
    }

    internal override byte* Start(TensorEntry entry) => _taken.TryGetValue(entry.Name, out string? from) ? source.Start(source[from]) : (byte*)_made[entry.Name].Pointer;

    HostBuffer Make(string name, string type, ElementType element, long[] shape)
    {
        long elements = shape.Aggregate(1L, (a, b) => a * b);
        HostBuffer buffer = new(element, elements);
        _made[name] = buffer;
        _entries[name] = new TensorEntry(name, type, shape, 0, elements * element.Size(), elements);
        return buffer;
    }
}
