using System.Text.Json;
using Diffract.Formats;
using Diffract.Runs;

namespace Diffract.Tokens;

/// <summary>What both models' <c>config.json</c> say about the texts that they can take: ids, and the longest.</summary>
sealed record PairShape(int BaseVocabulary, int ChatVocabulary, int ContextLimit)
{
    /// <summary>Reads both configurations. Widths and vocabularies may differ: a crosscoder has a width for each model, and ids that a model lacks are refused when they come.</summary>
    public static PairShape Of(string baseModel, string chatModel)
    {
        (int baseVocabulary, int baseLimit) = Read(baseModel);
        (int chatVocabulary, int chatLimit) = Read(chatModel);
        return new PairShape(baseVocabulary, chatVocabulary, Math.Min(baseLimit, chatLimit));
    }

    static (int Vocabulary, int ContextLimit) Read(string folder)
    {
        string file = CheckpointFiles.Config(folder);
        try
        {
            using JsonDocument document = JsonDocument.Parse(File.ReadAllText(file));
            JsonElement root = document.RootElement;
            return (Number(root, file, "vocab_size"), Number(root, file, "max_position_embeddings", "n_positions"));
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
