using System.Text.Json;
using System.Text.Json.Nodes;
using Diffract.Evidence;
using Diffract.Formats;
using Diffract.Tokens;

namespace Diffract.Tests.Evidence;

/// <summary>The reference run of the edits on the embedded pair: its dictionary, chats and results.</summary>
sealed class GoldenInterventions : IDisposable
{
    public GoldenInterventions()
    {
        File = SafetensorsFile.Open(GoldenFiles.Path("interventions/interventions.safetensors"));
        Summary = JsonNode.Parse(System.IO.File.ReadAllText(GoldenFiles.Path("interventions/interventions.json")))!.AsObject();
    }

    public SafetensorsFile File { get; }

    public JsonObject Summary { get; }

    public int Layer => (int)Summary["layer"]!;

    public int Chats => (int)Summary["chats"]!;

    public static IReadOnlyList<Edit> Edits { get; } = [.. Edit.Baselines, .. Edit.OfSet("best", 0), .. Edit.OfSet("worst", 1), Edit.BaseModel];

    public static IReadOnlyList<int[]> Sets { get; } = [Set("best"), Set("worst")];

    /// <summary>The chat's tokens with the flags of tokenize, from the file's own roles and masks.</summary>
    public EditChat Chat(int chat)
    {
        long[] role = File.Integers($"{chat}.role"), ctrl = File.Integers($"{chat}.ctrl");
        byte[] flags = [.. role.Select((r, t) => (byte)((r == 0 ? TokenRole.Bos : r == 2 ? TokenRole.User : r == 3 ? TokenRole.Assistant : TokenRole.None) | (ctrl[t] == 1 ? TokenRole.Template : TokenRole.None)))];
        return new EditChat(chat, [.. File.Integers($"{chat}.ids").Select(i => (int)i)], AnswerMasks.Of(flags));
    }

    /// <summary>Writes the dictionary as a published crosscoder folder.</summary>
    /// <param name="folder">Where to.</param>
    /// <param name="threshold">Null: its own.</param>
    /// <param name="inputScale">Activations times this number give the codes, and reconstructions are too large by it: a dictionary that was trained on scaled activations.</param>
    public string WriteCrosscoder(string folder, float? threshold = null, float inputScale = 1)
    {
        float[] Scaled(string name, float by) => Array.ConvertAll(File.Floats("dictionary." + name), v => v * by);
        SafetensorsWriter writer = new();
        writer.Add("encoder.weight", Scaled("encoder.weight", 1 / inputScale), 2, 128, 768);
        writer.Add("encoder.bias", File.Floats("dictionary.encoder.bias"), 768);
        writer.Add("decoder.weight", Scaled("decoder.weight", inputScale), 2, 768, 128);
        writer.Add("decoder.bias", Scaled("decoder.bias", inputScale), 2, 128);
        writer.Add("threshold", new[] { threshold ?? Scaled("threshold", inputScale)[0] }, []);
        writer.Add("k", new[] { (int)Summary["k"]! }, []);
        writer.Add("code_normalization_id", new long[] { 1 }, []);
        writer.Save(Path.Combine(folder, "model.safetensors"));
        JsonObject config = new() { ["dict_class"] = "BatchTopKCrossCoder", ["activation_dim"] = 128, ["dict_size"] = 768, ["num_layers"] = 2, ["k"] = (int)Summary["k"]! };
        System.IO.File.WriteAllText(Path.Combine(folder, "config.json"), config.ToJsonString());
        return folder;
    }

    public void Dispose() => File.Dispose();

    static int[] Set(string name) => JsonSerializer.Deserialize<int[]>(System.IO.File.ReadAllText(GoldenFiles.Path($"interventions/{name}.json")))!;
}
