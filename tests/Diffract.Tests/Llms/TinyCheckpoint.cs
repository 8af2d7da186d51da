using System.Runtime.InteropServices;
using System.Text.Json.Nodes;
using Diffract.Compute.Buffers;
using Diffract.Formats;

namespace Diffract.Tests.Llms;

/// <summary>A copy of a tiny golden model (Gemma 2 when no family is named), in one file, whose configuration and tensors a test may change.</summary>
sealed class TinyCheckpoint : IDisposable
{
    readonly TemporaryFolder _folder = new();

    public TinyCheckpoint(string config = "config.json", string family = "gemma2")
    {
        string source = GoldenFiles.Path($"models/{family}");
        Config = JsonNode.Parse(File.ReadAllText(Path.Combine(source, config)))!.AsObject();
        foreach (string path in CheckpointFiles.Weights(source))
        {
            using SafetensorsFile file = SafetensorsFile.Open(path);
            foreach ((string name, TensorEntry entry) in file.Tensors)
            {
                Tensors[name] = (entry.Type, entry.Shape, file.Bytes(name).ToArray());
            }
        }
    }

    public string Folder => _folder.Path;

    public JsonObject Config { get; }

    public Dictionary<string, (string Type, long[] Shape, byte[] Bytes)> Tensors { get; } = [];

    public string WeightsPath => Path.Combine(Folder, "model.safetensors");

    /// <summary>Writes config.json and the weights: in one file, or dealt out over several with an index.</summary>
    public string Save(int shards = 1)
    {
        File.WriteAllText(Path.Combine(Folder, "config.json"), Config.ToJsonString());
        JsonObject map = [];
        string[] names = [.. Tensors.Keys];
        for (int s = 0; s < shards; s++)
        {
            string file = shards == 1 ? "model.safetensors" : $"model-{s + 1:D5}-of-{shards:D5}.safetensors";
            SafetensorsWriter writer = new();
            for (int i = s; i < names.Length; i += shards)
            {
                (string type, long[] shape, byte[] bytes) = Tensors[names[i]];
                writer.AddBytes(names[i], type, shape, bytes.Length, stream => stream.Write(bytes));
                map[names[i]] = file;
            }

            writer.Save(Path.Combine(Folder, file));
        }

        if (shards > 1)
        {
            File.WriteAllText(Path.Combine(Folder, "model.safetensors.index.json"), new JsonObject { ["weight_map"] = map }.ToJsonString());
        }

        return Folder;
    }

    /// <summary>Rounds every tensor to half precision, stored as F16 or widened again to F32.</summary>
    public void RoundToHalf(bool store)
    {
        foreach ((string name, (string _, long[] shape, byte[] bytes)) in Tensors.ToArray())
        {
            Half[] halves = Array.ConvertAll(MemoryMarshal.Cast<byte, float>(bytes).ToArray(), v => (Half)v);
            Tensors[name] = store
                ? ("F16", shape, MemoryMarshal.AsBytes<Half>(halves).ToArray())
                : ("F32", shape, MemoryMarshal.AsBytes<float>(Array.ConvertAll(halves, h => (float)h)).ToArray());
        }
    }

    /// <summary>Rounds every tensor to bfloat16, stored as BF16 or widened again to F32.</summary>
    public void RoundToBFloat16(bool store)
    {
        foreach ((string name, (string _, long[] shape, byte[] bytes)) in Tensors.ToArray())
        {
            ushort[] bits = Array.ConvertAll(MemoryMarshal.Cast<byte, float>(bytes).ToArray(), BFloat16.FromSingle);
            Tensors[name] = store
                ? ("BF16", shape, MemoryMarshal.AsBytes<ushort>(bits).ToArray())
                : ("F32", shape, MemoryMarshal.AsBytes<float>(Array.ConvertAll(bits, BFloat16.ToSingle)).ToArray());
        }
    }

    public void Dispose() => _folder.Dispose();
}
