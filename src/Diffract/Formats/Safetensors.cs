using System.Text.Json;
using Diffract.Runs;

namespace Diffract.Formats;

/// <summary>
/// A safetensors file, memory-mapped: 8 bytes of header length, a JSON header, raw little-endian data. The header is checked whole when opened:
/// every error names the tensor.
/// </summary>
public sealed unsafe class SafetensorsFile : TensorFile
{
    const long LargestHeader = 100_000_000;
    readonly MappedFile _file;
    readonly byte* _data;
    readonly Dictionary<string, TensorEntry> _tensors = new(StringComparer.Ordinal);

    SafetensorsFile(string path)
        : base(path)
    {
        _file = new MappedFile(path);
        try
        {
            if (_file.Length < 8)
            {
                throw Broken($"{_file.Length} bytes long, a header takes at least 8");
            }

            long header = (long)*(ulong*)_file.Start;
            if (header < 2 || header > LargestHeader || 8 + header > _file.Length)
            {
                throw Broken($"header of {header} bytes in a file of {_file.Length}");
            }

            _data = _file.Start + 8 + header;
            Read(new ReadOnlySpan<byte>(_file.Start + 8, (int)header), _file.Length - 8 - header);
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>The header's <c>__metadata__</c>.</summary>
    public Dictionary<string, string> Metadata { get; } = new(StringComparer.Ordinal);

    public override IReadOnlyDictionary<string, TensorEntry> Tensors => _tensors;

    public static SafetensorsFile Open(string path) => new(path);

    /// <summary>Gives the pages that were read back to the system.</summary>
    public void Release() => _file.Release();

    public override void Dispose() => _file.Dispose();

    internal override byte* Start(TensorEntry entry) => _data + entry.Begin;

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

            try
            {
                ReadEntries(document.RootElement, dataBytes);
            }
            catch (InvalidOperationException)
            {
                // Half a surrogate pair in a name, metadata that are no object.
                throw Broken("header has a name that is not Unicode, or metadata that are not texts");
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

    void ReadEntries(JsonElement header, long dataBytes)
    {
        foreach (JsonProperty property in header.EnumerateObject())
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

    TensorEntry Entry(JsonProperty property, long dataBytes)
    {
        string name = property.Name;
        try
        {
            string type = property.Value.GetProperty("dtype").GetString()!;
            long[] shape = [.. property.Value.GetProperty("shape").EnumerateArray().Select(v => v.GetInt64())];
            long[] offsets = [.. property.Value.GetProperty("data_offsets").EnumerateArray().Select(v => v.GetInt64())];
            int size = TensorEntry.ElementSize(type);
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

    DiffractException Broken(string what) => new($"{FilePath} is not a sound safetensors file: {what}");
}
