using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Diffract.Runs;

namespace Diffract.Formats;

/// <summary>Collects tensors and writes them as one safetensors file, atomically. Data begins at a multiple of 8 bytes, in the order of adding.</summary>
public sealed class SafetensorsWriter : TensorList
{
    public Dictionary<string, string> Metadata { get; } = new(StringComparer.Ordinal);

    public FileSeal Save(string path)
    {
        JsonObject header = [];
        if (Metadata.Count > 0)
        {
            header["__metadata__"] = new JsonObject(Metadata.Select(p => KeyValuePair.Create<string, JsonNode?>(p.Key, p.Value)));
        }

        long at = 0;
        foreach ((string name, string type, long[] shape, _, long bytes) in Tensors)
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

            foreach ((_, _, _, Action<Stream> write, _) in Tensors)
            {
                write(stream);
            }
        });
    }
}
