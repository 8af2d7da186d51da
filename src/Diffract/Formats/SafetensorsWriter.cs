using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Diffract.Compute.Buffers;
using Diffract.Runs;

namespace Diffract.Formats;

/// <summary>Collects tensors and writes them as one safetensors file, atomically. Data begins at a multiple of 8 bytes, in the order of adding.</summary>
public sealed class SafetensorsWriter
{
    readonly List<(string Name, string Type, long[] Shape, Action<Stream> Write, long Bytes)> _tensors = [];

    public Dictionary<string, string> Metadata { get; } = new(StringComparer.Ordinal);

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
        if (elements * SafetensorsFile.ElementSize(type) != bytes)
        {
            throw new ArgumentException($"tensor {name}: {bytes} bytes do not fill {type} [{string.Join(", ", shape)}]");
        }

        _tensors.Add((name, type, shape, write, bytes));
    }

    public FileSeal Save(string path)
    {
        JsonObject header = [];
        if (Metadata.Count > 0)
        {
            header["__metadata__"] = new JsonObject(Metadata.Select(p => KeyValuePair.Create<string, JsonNode?>(p.Key, p.Value)));
        }

        long at = 0;
        foreach ((string name, string type, long[] shape, _, long bytes) in _tensors)
        {
            header[name] = new JsonObject
            {
                ["dtype"] = type,
                ["shape"] = new JsonArray([.. shape.Select(n => JsonValue.Create(n))]),
                ["data_offsets"] = new JsonArray(at, at + bytes),
            };
            at += bytes;
        }

        byte[] json = Encoding.UTF8.GetBytes(header.ToJsonString(new JsonSerializerOptions { Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping }));
        int padded = (json.Length + 7) / 8 * 8;
        return AtomicFile.Write(path, stream =>
        {
            stream.Write(BitConverter.GetBytes((ulong)padded));
            stream.Write(json);
            for (int i = json.Length; i < padded; i++)
            {
                stream.WriteByte((byte)' ');
            }

            foreach ((_, _, _, Action<Stream> write, _) in _tensors)
            {
                write(stream);
            }
        });
    }
}
