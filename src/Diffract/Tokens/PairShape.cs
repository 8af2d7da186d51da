using System.Text.Json;
using Diffract.Formats;
using Diffract.Runs;

namespace Diffract.Tokens;

/// <summary>What both models' <c>config.json</c> must agree on before any text is read, and how long a text they can take.</summary>
sealed record PairShape(int Width, int Vocabulary, int ContextLimit)
{
    /// <summary>Reads both configurations; different vocabularies are refused, different widths are not: a crosscoder has a width for each model.</summary>
    public static PairShape Of(string baseModel, string chatModel)
    {
        PairShape a = Read(baseModel), b = Read(chatModel);
        return a.Vocabulary == b.Vocabulary
            ? a with { ContextLimit = Math.Min(a.ContextLimit, b.ContextLimit) }
            : throw new DiffractException($"base and chat model have different vocabularies: {baseModel} has {a.Vocabulary}, {chatModel} has {b.Vocabulary}; wanted a chat model that was tuned from this base model");
    }

    static PairShape Read(string folder)
    {
        string file = CheckpointFiles.Config(folder);
        try
        {
            using JsonDocument document = JsonDocument.Parse(File.ReadAllText(file));
            JsonElement root = document.RootElement;
            return new PairShape(Number(root, file, "hidden_size", "n_embd"), Number(root, file, "vocab_size"), Number(root, file, "max_position_embeddings", "n_positions"));
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException or FormatException)
        {
            throw new DiffractException($"{file} is not a model configuration ({e.Message}); fetch it again", inner: e);
        }
    }

    static int Number(JsonElement root, string file, params string[] names)
    {
        foreach (string name in names)
        {
            if (root.TryGetProperty(name, out JsonElement value) && value.ValueKind == JsonValueKind.Number)
            {
                return value.GetInt32();
            }
        }

        // A configuration may leave out what equals its class's default: Gemma 2's published ones never do, but for the context limit.
        return names[0] == "max_position_embeddings" ? 8192 : throw new DiffractException($"{file} has no {names[0]}; wanted the config.json of a language model");
    }
}
