using System.Text.Json;
using Diffract.Formats;
using Diffract.Runs;

namespace Diffract.Tokens;

/// <summary>What both models' <c>config.json</c> say about the texts that they can take: ids, and the longest.</summary>
/// <param name="BaseVocabulary">Ids of the base model.</param>
/// <param name="ChatVocabulary">Ids of the chat model.</param>
/// <param name="ContextLimit">Tokens that both can take; null where one of the two does not say.</param>
/// <param name="Silent">The file that does not say it.</param>
sealed record PairShape(int BaseVocabulary, int ChatVocabulary, int? ContextLimit, string? Silent)
{
    const int DefaultLength = 1024;

    /// <summary>Reads both configurations. Widths and vocabularies may differ: a crosscoder has a width for each model, and ids that a model lacks are refused when they come. A limit that is given counts, not the files'.</summary>
    public static PairShape Of(string baseModel, string chatModel, int? limit = null)
    {
        (int baseVocabulary, int? baseLimit) = Read(baseModel);
        (int chatVocabulary, int? chatLimit) = Read(chatModel);
        if (limit is not null)
        {
            return new PairShape(baseVocabulary, chatVocabulary, limit, null);
        }

        string? silent = baseLimit is null ? CheckpointFiles.Config(baseModel) : chatLimit is null ? CheckpointFiles.Config(chatModel) : null;
        return new PairShape(baseVocabulary, chatVocabulary, silent is null ? Math.Min(baseLimit!.Value, chatLimit!.Value) : null, silent);
    }

    /// <summary>How many tokens a document or chat may have: what is asked for, or 1,024 where the models can take them.</summary>
    public int Length(int? asked)
    {
        if (asked is { } given && (given < 2 || given > (ContextLimit ?? int.MaxValue)))
        {
            throw DiffractException.Argument($"--context {given} is out of range; wanted {(ContextLimit is { } limit ? $"2 to {limit}, the most that both models can read" : "at least 2")}");
        }

        return asked ?? Math.Min(
            DefaultLength,
            ContextLimit ?? throw DiffractException.Argument($"{Silent} has no max_position_embeddings, so the longest text is not known; say with --context how many tokens a document or chat may have"));
    }

    static (int Vocabulary, int? ContextLimit) Read(string folder)
    {
        string file = CheckpointFiles.Config(folder);
        try
        {
            using JsonDocument document = JsonDocument.Parse(File.ReadAllText(file));
            JsonElement root = document.RootElement;
            int vocabulary = Number(root, "vocab_size") ?? throw new DiffractException($"{file} has no vocab_size; wanted the config.json of a language model");
            return (vocabulary, Number(root, "max_position_embeddings") ?? Number(root, "n_positions"));
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException or FormatException)
        {
            throw new DiffractException($"{file} is not a model configuration ({e.Message}); fetch it again", inner: e);
        }
    }

    static int? Number(JsonElement root, string name) => root.TryGetProperty(name, out JsonElement value) && value.ValueKind == JsonValueKind.Number ? value.GetInt32() : null;
}
