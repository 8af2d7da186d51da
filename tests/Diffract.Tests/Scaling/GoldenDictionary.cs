using Diffract.Formats;

namespace Diffract.Tests.Scaling;

/// <summary>The dictionary inside a golden scaling file, unpacked as a published folder.</summary>
static class GoldenDictionary
{
    public const string Prefix = "dictionary.";

    /// <param name="name">A file of golden/scaling without its ending.</param>
    /// <param name="folder">Where model.safetensors and config.json go.</param>
    /// <param name="threshold">Replaces the file's threshold when given.</param>
    public static void Unpack(string name, string folder, float? threshold = null)
    {
        using SafetensorsFile file = SafetensorsFile.Open(GoldenFiles.Path($"scaling/{name}.safetensors"));
        SafetensorsWriter writer = new();
        foreach (TensorEntry entry in file.Tensors.Values.Where(t => t.Name.StartsWith(Prefix, StringComparison.Ordinal)))
        {
            byte[] bytes = entry.Name.EndsWith(".threshold", StringComparison.Ordinal) && threshold is { } value
                ? BitConverter.GetBytes(value)
                : file.Bytes(entry.Name).ToArray();
            writer.AddBytes(entry.Name[Prefix.Length..], entry.Type, entry.Shape, bytes.Length, s => s.Write(bytes));
        }

        writer.Save(Path.Combine(folder, "model.safetensors"));
        string kind = name == "l1" ? """ "num_layers": 2, "dict_class": "CrossCoder" """
            : name.StartsWith("sae", StringComparison.Ordinal) ? """ "dict_class": "BatchTopKSAE", "k": 5 """
            : """ "num_layers": 2, "dict_class": "BatchTopKCrossCoder", "k": 8 """;
        File.WriteAllText(Path.Combine(folder, "config.json"), $$"""{ "activation_dim": 24, "dict_size": 128, {{kind}} }""");
    }
}
