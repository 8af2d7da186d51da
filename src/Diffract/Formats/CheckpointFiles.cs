using System.Text.Json;
using Diffract.Runs;
using Microsoft.Win32.SafeHandles;

namespace Diffract.Formats;

/// <summary>Which files a Hugging Face checkpoint folder is made of: <c>config.json</c> and its safetensors, one or sharded by an index.</summary>
public static class CheckpointFiles
{
    const string Single = "model.safetensors";
    const string IndexName = "model.safetensors.index.json";

    /// <summary>Path of <c>config.json</c>; refuses a folder that has none.</summary>
    public static string Config(string folder)
    {
        if (!Directory.Exists(folder))
        {
            throw DiffractException.Argument($"{folder} is not a folder; wanted a checkpoint with config.json and model.safetensors");
        }

        string path = Path.Combine(folder, "config.json");
        return File.Exists(path) ? path : throw new DiffractException($"{folder} has no config.json; wanted a Hugging Face checkpoint folder");
    }

    /// <summary>Paths of the weight files, in the order of their names.</summary>
    public static IReadOnlyList<string> Weights(string folder)
    {
        string single = Path.Combine(folder, Single), index = Path.Combine(folder, IndexName);
        if (File.Exists(single))
        {
            return [single];
        }

        if (!File.Exists(index))
        {
            throw new DiffractException($"{folder} has neither {Single} nor {IndexName}; other weight formats are not read, convert them to safetensors");
        }

        string[] shards = [.. Shards(index).Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal).Select(name => Path.Combine(folder, name))];
        foreach (string shard in shards)
        {
            if (!File.Exists(shard))
            {
                throw new DiffractException($"{shard} is missing, {index} lists it; fetch the checkpoint again");
            }
        }

        return shards;
    }

    /// <summary>Length of a file in bytes, also where the path is a symbolic link, as in a model cache.</summary>
    public static long Length(string path)
    {
        using SafeFileHandle file = File.OpenHandle(path);
        return RandomAccess.GetLength(file);
    }

    internal static List<string> Shards(string index)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(File.ReadAllBytes(index));
            List<string> names = [];
            foreach (JsonProperty pair in document.RootElement.GetProperty("weight_map").EnumerateObject())
            {
                string name = pair.Value.GetString() ?? "";
                if (name != Path.GetFileName(name) || name.Length == 0)
                {
                    throw new DiffractException($"{index}: tensor {pair.Name} lies in '{name}'; wanted the name of a file in the same folder");
                }

                names.Add(name);
            }

            return names.Count > 0 ? names : throw new DiffractException($"{index} lists no tensors");
        }
        catch (Exception e) when (e is JsonException or KeyNotFoundException or InvalidOperationException)
        {
            throw new DiffractException($"{index} is not a safetensors index: wanted an object weight_map of tensor names to file names", inner: e);
        }
    }
}
