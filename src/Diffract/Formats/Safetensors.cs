using System.IO.MemoryMappedFiles;
using System.Text.Json;
using Diffract.Compute.Buffers;
using Diffract.Runs;

namespace Diffract.Formats;

/// <summary>
/// A safetensors file, memory-mapped: 8 bytes of header length, a JSON header, raw little-endian data. The header is checked whole when opened:
/// every error names the tensor.
/// </summary>
public sealed unsafe class SafetensorsFile : IDisposable
{
    const long LargestHeader = 100_000_000;
    readonly MemoryMappedFile _file;
    readonly MemoryMappedViewAccessor _view;
    readonly byte* _data;
    readonly Dictionary<string, TensorEntry> _tensors = new(StringComparer.Ordinal);
    bool _open = true;

    SafetensorsFile(string path)
    {
        FilePath = path;
        long length = new FileInfo(path).Length;
        if (length < 8)
        {
            throw Broken($"{length} bytes long, a header takes at least 8");
        }

        try
        {
            _file = MemoryMappedFile.CreateFromFile(path, FileMode.Open, null, 0, MemoryMappedFileAccess.Read);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new DiffractException($"cannot open {path}: {e.Message}", inner: e);
        }

        _view = _file.CreateViewAccessor(0, 0, MemoryMappedFileAccess.Read);
        byte* start = null;
        _view.SafeMemoryMappedViewHandle.AcquirePointer(ref start);
        start += _view.PointerOffset;
        try
        {
            long header = (long)*(ulong*)start;
            if (header < 2 || header > LargestHeader || 8 + header > length)
            {
                throw Broken($"header of {header} bytes in a file of {length}");
            }

            _data = start + 8 + header;
            Read(new ReadOnlySpan<byte>(start + 8, (int)header), length - 8 - header);
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    public string FilePath { get; }

    /// <summary>The header's <c>__metadata__</c>.</summary>
    public Dictionary<string, string> Metadata { get; } = new(StringComparer.Ordinal);

    public IReadOnlyDictionary<string, TensorEntry> Tensors => _tensors;

    public static SafetensorsFile Open(string path)
        => File.Exists(path) ? new SafetensorsFile(path) : throw new DiffractException($"{path} does not exist");

    /// <summary>The entry, or an error that lists what is there.</summary>
    public TensorEntry this[string name] => _tensors.TryGetValue(name, out TensorEntry? entry)
        ? entry
        : throw new DiffractException($"{FilePath} has no tensor {name}; it has {Listing()}");

    /// <summary>The tensor's bytes, in place.</summary>
    public ReadOnlySpan<byte> Bytes(string name)
    {
        TensorEntry entry = this[name];
        return new ReadOnlySpan<byte>(_data + entry.Begin, checked((int)entry.Bytes));
    }

    /// <summary>The tensor's memory as a read-only buffer of its own type (float32, bfloat16, float16, float64, int32), valid while the file is open.</summary>
    public HostBuffer View(string name)
    {
        TensorEntry entry = this[name];
        ElementType type = entry.Type switch
        {
            "F32" => ElementType.Float32,
            "BF16" => ElementType.BFloat16,
            "F16" => ElementType.Float16,
            "F64" => ElementType.Float64,
            "I32" => ElementType.Int32,
            _ => throw new DiffractException($"{FilePath}: tensor {name} is {entry.Type}, wanted F32, BF16, F16, F64 or I32"),
        };
        return new HostBuffer(type, entry.Elements, _data + entry.Begin, this);
    }

    /// <summary>A copy as float32, widened from bf16, f16 or rounded from f64; checked against <paramref name="shape"/> when given.</summary>
    public float[] Floats(string name, params ReadOnlySpan<long> shape)
    {
        TensorEntry entry = this[name];
        CheckShape(entry, shape);
        float[] result = new float[entry.Elements];
        byte* p = _data + entry.Begin;
        switch (entry.Type)
        {
            case "F32":
                new ReadOnlySpan<byte>(p, checked((int)entry.Bytes)).CopyTo(System.Runtime.InteropServices.MemoryMarshal.AsBytes(result.AsSpan()));
                break;
            case "BF16":
                for (long i = 0; i < entry.Elements; i++)
                {
                    result[i] = BFloat16.ToSingle(((ushort*)p)[i]);
                }

                break;
            case "F16":
                for (long i = 0; i < entry.Elements; i++)
                {
                    result[i] = (float)((Half*)p)[i];
                }

                break;
            case "F64":
                for (long i = 0; i < entry.Elements; i++)
                {
                    result[i] = (float)((double*)p)[i];
                }

                break;
            default:
                throw new DiffractException($"{FilePath}: tensor {name} is {entry.Type}, wanted F32, BF16, F16 or F64");
        }

        return result;
    }

    /// <summary>A copy as double, from any floating type.</summary>
    public double[] Doubles(string name, params ReadOnlySpan<long> shape)
    {
        TensorEntry entry = this[name];
        CheckShape(entry, shape);
        if (entry.Type != "F64")
        {
            return Array.ConvertAll(Floats(name), v => (double)v);
        }

        double[] result = new double[entry.Elements];
        Bytes(name).CopyTo(System.Runtime.InteropServices.MemoryMarshal.AsBytes(result.AsSpan()));
        return result;
    }

    /// <summary>A copy as 64-bit integers, from I64, I32, U8 or BOOL.</summary>
    public long[] Integers(string name, params ReadOnlySpan<long> shape)
    {
        TensorEntry entry = this[name];
        CheckShape(entry, shape);
        long[] result = new long[entry.Elements];
        byte* p = _data + entry.Begin;
        for (long i = 0; i < entry.Elements; i++)
        {
            result[i] = entry.Type switch
            {
                "I64" => ((long*)p)[i],
                "I32" => ((int*)p)[i],
                "U8" or "BOOL" => p[i],
                _ => throw new DiffractException($"{FilePath}: tensor {name} is {entry.Type}, wanted I64, I32, U8 or BOOL"),
            };
        }

        return result;
    }

    public void Dispose()
    {
        if (_open)
        {
            _open = false;
            _view?.SafeMemoryMappedViewHandle.ReleasePointer();
            _view?.Dispose();
            _file?.Dispose();
        }
    }

    void Read(ReadOnlySpan<byte> header, long dataBytes)
    {
        JsonDocument document;
        try
        {
            document = JsonDocument.Parse(header.ToArray());
        }
        catch (JsonException e)
        {
            throw Broken($"header is not JSON ({e.Message})");
        }

        using (document)
        {
            if (document.RootElement.ValueKind != JsonValueKind.Object)
            {
                throw Broken("header is not a JSON object");
            }

            foreach (JsonProperty property in document.RootElement.EnumerateObject())
            {
                if (property.Name == "__metadata__")
                {
                    foreach (JsonProperty pair in property.Value.EnumerateObject())
                    {
                        Metadata[pair.Name] = pair.Value.ToString();
                    }

                    continue;
                }

                if (!_tensors.TryAdd(property.Name, Entry(property, dataBytes)))
                {
                    throw Broken($"tensor {property.Name} is listed twice");
                }
            }
        }

        long end = 0;
        string last = "";
        foreach (TensorEntry entry in _tensors.Values.OrderBy(e => e.Begin).ThenBy(e => e.End))
        {
            if (entry.Begin < end)
            {
                throw Broken($"tensor {entry.Name} begins at {entry.Begin}, inside {last}, which ends at {end}");
            }

            (end, last) = (entry.End, entry.Name);
        }
    }

    TensorEntry Entry(JsonProperty property, long dataBytes)
    {
        string name = property.Name;
        try
        {
            string type = property.Value.GetProperty("dtype").GetString()!;
            long[] shape = [.. property.Value.GetProperty("shape").EnumerateArray().Select(v => v.GetInt64())];
            long[] offsets = [.. property.Value.GetProperty("data_offsets").EnumerateArray().Select(v => v.GetInt64())];
            int size = ElementSize(type);
            if (size == 0)
            {
                throw Broken($"tensor {name} has the unknown type {type}");
            }

            long bytes = size;
            foreach (long n in shape)
            {
                if (n < 0)
                {
                    throw Broken($"tensor {name} has the negative size {n}");
                }

                bytes = checked(bytes * n);
            }

            if (offsets.Length != 2 || offsets[0] < 0 || offsets[1] < offsets[0])
            {
                throw Broken($"tensor {name} has the offsets [{string.Join(", ", offsets)}], wanted a begin and an end");
            }

            if (offsets[1] > dataBytes)
            {
                throw Broken($"tensor {name} ends at byte {offsets[1]} of {dataBytes}: the file is truncated; fetch it again");
            }

            return offsets[1] - offsets[0] == bytes
                ? new TensorEntry(name, type, shape, offsets[0], offsets[1], bytes / size)
                : throw Broken($"tensor {name} takes {offsets[1] - offsets[0]} bytes, {type} [{string.Join(", ", shape)}] needs {bytes}");
        }
        catch (Exception e) when (e is KeyNotFoundException or InvalidOperationException or FormatException)
        {
            throw Broken($"entry of tensor {name} is malformed; wanted dtype, shape and data_offsets");
        }
        catch (OverflowException)
        {
            throw Broken($"tensor {name} is larger than any file");
        }
    }

    void CheckShape(TensorEntry entry, ReadOnlySpan<long> shape)
    {
        if (shape.Length > 0 && !shape.SequenceEqual(entry.Shape))
        {
            throw new DiffractException($"{FilePath}: tensor {entry.Name} has the shape [{string.Join(", ", entry.Shape)}], wanted [{string.Join(", ", shape.ToArray())}]");
        }
    }

    string Listing() => _tensors.Count <= 8 ? string.Join(", ", _tensors.Keys) : string.Join(", ", _tensors.Keys.Take(8)) + $", … ({_tensors.Count})";

    DiffractException Broken(string what) => new($"{FilePath} is not a sound safetensors file: {what}");

    /// <summary>Bytes of one element of a safetensors type; 0 for an unknown one.</summary>
    public static int ElementSize(string type) => type switch
    {
        "F64" or "I64" or "U64" => 8,
        "F32" or "I32" or "U32" => 4,
        "F16" or "BF16" or "I16" or "U16" => 2,
        "I8" or "U8" or "BOOL" or "F8_E4M3" or "F8_E5M2" => 1,
        _ => 0,
    };
}

/// <summary>One tensor of a safetensors file: type as written ("F32"), shape, byte range in the data, number of elements.</summary>
public sealed record TensorEntry(string Name, string Type, long[] Shape, long Begin, long End, long Elements)
{
    public long Bytes => End - Begin;
}
