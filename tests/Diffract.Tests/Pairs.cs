using System.Text.Json.Nodes;
using Diffract.Formats;
using Diffract.Tests.Activations;

namespace Diffract.Tests;

/// <summary>Copies of the embedded checkpoints that differ from their siblings.</summary>
static class Pairs
{
    public static string Base { get; } = Path.Combine(GoldenFiles.Assets, "base");

    public static string Chat { get; } = Path.Combine(GoldenFiles.Assets, "chat");

    /// <summary>A copy whose embedding has <paramref name="more"/> rows of 1 after the vocabulary, as padded checkpoints have rows that no token uses.</summary>
    public static string Padded(string model, string target, int more)
    {
        HarvestRuns.Copy(model, target);
        string weights = Path.Combine(target, "model.safetensors");
        SafetensorsWriter writer = new();
        using (SafetensorsFile file = SafetensorsFile.Open(Path.Combine(model, "model.safetensors")))
        {
            foreach ((string name, TensorEntry entry) in file.Tensors.OrderBy(t => t.Value.Begin))
            {
                byte[] bytes = file.Bytes(name).ToArray();
                long[] shape = [.. entry.Shape];
                if (name == "model.embed_tokens.weight")
                {
                    bytes = [.. bytes, .. Enumerable.Repeat((byte[])[0x80, 0x3F], more * (int)shape[1]).SelectMany(b => b)];
                    shape[0] += more;
                }

                writer.AddBytes(name, entry.Type, shape, bytes.Length, stream => stream.Write(bytes));
            }

            File.Delete(weights);
            writer.Save(weights);
        }

        Configure(target, config => config["vocab_size"] = (int)config["vocab_size"]! + more);
        return target;
    }

    /// <summary>A copy whose tokenizer lacks merges, so that it cuts the same text into other tokens.</summary>
    public static string FewerMerges(string model, string target)
    {
        HarvestRuns.Copy(model, target);
        Edit(Path.Combine(target, "tokenizer.json"), tokenizer =>
        {
            JsonArray merges = tokenizer["model"]!["merges"]!.AsArray();
            for (int i = merges.Count - 1; i > 0; i--)
            {
                if (i % 3 == 1)
                {
                    merges.RemoveAt(i);
                }
            }
        });
        return target;
    }

    /// <summary>A copy whose tokenizer has never heard of some added tokens.</summary>
    public static string Without(string model, string target, params string[] tokens)
    {
        HarvestRuns.Copy(model, target);
        Edit(Path.Combine(target, "tokenizer.json"), tokenizer =>
        {
            JsonArray added = tokenizer["added_tokens"]!.AsArray();
            foreach (JsonNode? token in added.Where(t => tokens.Contains((string)t!["content"]!)).ToArray())
            {
                added.Remove(token);
                tokenizer["model"]!["vocab"]!.AsObject().Remove((string)token!["content"]!);
            }
        });
        return target;
    }

    public static void Configure(string folder, Action<JsonNode> change) => Edit(Path.Combine(folder, "config.json"), change);

    static void Edit(string file, Action<JsonNode> change)
    {
        JsonNode json = JsonNode.Parse(File.ReadAllText(file))!;
        change(json);
        File.WriteAllText(file, json.ToJsonString());
    }
}
