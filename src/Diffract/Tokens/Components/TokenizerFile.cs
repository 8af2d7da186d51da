using System.Globalization;
using System.Text.Json;
using Diffract.Runs;

namespace Diffract.Tokens.Components;

/// <summary>
/// Reads <c>tokenizer.json</c> into its components. What a component's type is not known for is refused by that type's name, so that ids are either right or not made at all.
/// </summary>
sealed class TokenizerFile
{
    /// <summary>Ids from here on are no ids: what is sized by the vocabulary stays within memory.</summary>
    const int IdLimit = 1 << 24;

    const long LargestFile = 512L << 20;

    readonly string _file;

    TokenizerFile(string file) => _file = file;

    /// <exception cref="DiffractException">There is no such file.</exception>
    public static string PathIn(string folder)
    {
        string file = Path.Combine(folder, "tokenizer.json");
        if (!File.Exists(file))
        {
            throw DiffractException.Argument(
                !Directory.Exists(folder) ? $"folder {folder} does not exist; wanted a Hugging Face checkpoint folder"
                : File.Exists(Path.Combine(folder, "tokenizer.model"))
                ? $"{folder} has a SentencePiece file (tokenizer.model) and no tokenizer.json; convert it: load the folder once with transformers' AutoTokenizer (use_fast=True) and save_pretrained into it"
                : $"{folder} has no tokenizer.json; wanted a Hugging Face checkpoint folder with config.json, model.safetensors and tokenizer.json");
        }

        return file;
    }

    /// <exception cref="DiffractException">There is no such file, it is damaged, or it has a component that is not supported.</exception>
    public static TokenizerParts Read(string folder)
    {
        string file = PathIn(folder);
        try
        {
            using FileStream stream = File.OpenRead(file);
            if (stream.Length > LargestFile)
            {
                throw new DiffractException($"{file} has {stream.Length >> 20} MiB, wanted at most {LargestFile >> 20}; fetch it again");
            }

            using JsonDocument document = JsonDocument.Parse(stream);
            return new TokenizerFile(file).Parse(document.RootElement);
        }
        catch (Exception e) when (e is JsonException or KeyNotFoundException or InvalidOperationException or FormatException or IOException or UnauthorizedAccessException)
        {
            throw new DiffractException($"{file} is not a tokenizer ({e.Message}); fetch it again", inner: e);
        }
    }

    TokenizerParts Parse(JsonElement root)
    {
        ComponentReader components = new(_file);
        JsonElement model = root.GetProperty("model");
        string type = ComponentReader.Kind(model);
        if (type is not ("BPE" or ""))
        {
            throw components.Unknown("model", type);
        }

        PreTokenizer[] preTokenizer = components.PreTokenizers(root, out bool byteLevel);
        Dictionary<string, int> vocabulary = Vocabulary(model);
        BytePairOptions options = Options(model, vocabulary, byteLevel, components);
        BytePairs pairs = new(vocabulary, Merges(model, vocabulary), options);
        return new TokenizerParts(vocabulary, pairs, Added(root, vocabulary), components.Normalizers(root), preTokenizer, components.PostProcessor(root, Id), components.Decoders(root));
    }

    Dictionary<string, int> Vocabulary(JsonElement model)
    {
        Dictionary<string, int> vocabulary = new(StringComparer.Ordinal);
        foreach (JsonProperty token in model.GetProperty("vocab").EnumerateObject())
        {
            vocabulary[token.Name] = Id(token.Value);
        }

        HashSet<int> seen = new(vocabulary.Count);
        foreach ((string token, int id) in vocabulary)
        {
            if (!seen.Add(id))
            {
                throw new DiffractException($"{_file}: id {id} of \"{token}\" is that of another token too; fetch the file again");
            }
        }

        return vocabulary;
    }

    BytePairOptions Options(JsonElement model, Dictionary<string, int> vocabulary, bool byteLevel, ComponentReader components)
    {
        foreach (string option in (string[])["continuing_subword_prefix", "end_of_word_suffix"])
        {
            if (model.TryGetProperty(option, out JsonElement value) && value.ValueKind != JsonValueKind.Null && ComponentReader.Text(value).Length > 0)
            {
                throw components.Unknown("model option", option);
            }
        }

        if (model.TryGetProperty("dropout", out JsonElement dropout) && dropout.ValueKind != JsonValueKind.Null && dropout.GetDouble() != 0)
        {
            throw components.Unknown("model option", "dropout");
        }

        bool fallback = ComponentReader.Flag(model, "byte_fallback");
        int? unknown = null;
        if (model.TryGetProperty("unk_token", out JsonElement unk) && unk.ValueKind != JsonValueKind.Null)
        {
            // Where every byte has a token nothing is ever unknown.
            bool never = byteLevel ? Enumerable.Range(0, 256).All(b => vocabulary.ContainsKey(((char)ByteAlphabet.Character((byte)b)).ToString()))
                : fallback && Enumerable.Range(0, 256).All(b => vocabulary.ContainsKey($"<0x{b:X2}>"));
            unknown = vocabulary.TryGetValue(ComponentReader.Text(unk), out int id) ? id
                : never ? null
                : throw new DiffractException($"{_file}: the unknown token {ComponentReader.Text(unk)} is not in the vocabulary; fetch the file again");
        }

        return new BytePairOptions(byteLevel, fallback, unknown, ComponentReader.Flag(model, "fuse_unk"), ComponentReader.Flag(model, "ignore_merges"));
    }

    List<(int Left, int Right, int Id)> Merges(JsonElement model, Dictionary<string, int> vocabulary)
    {
        List<(int Left, int Right, int Id)> merges = [];
        Dictionary<string, int>.AlternateLookup<ReadOnlySpan<char>> lookup = vocabulary.GetAlternateLookup<ReadOnlySpan<char>>();
        foreach (JsonElement merge in model.GetProperty("merges").EnumerateArray())
        {
            (string left, string right) = MergePair(merge, merges.Count);
            if (!vocabulary.TryGetValue(left, out int l) || !vocabulary.TryGetValue(right, out int r) || !lookup.TryGetValue(string.Concat(left, right), out int merged))
            {
                throw new DiffractException($"{_file}: merge {merges.Count} (\"{left}\" and \"{right}\") uses a token that the vocabulary lacks; fetch the file again");
            }

            merges.Add((l, r, merged));
        }

        return merges;
    }

    (string Left, string Right) MergePair(JsonElement merge, int rank)
    {
        if (merge.ValueKind == JsonValueKind.Array && merge.GetArrayLength() == 2)
        {
            return (ComponentReader.Text(merge[0]), ComponentReader.Text(merge[1]));
        }

        string[] parts = merge.ValueKind == JsonValueKind.String ? merge.GetString()!.Split(' ') : [];
        return parts.Length == 2 ? (parts[0], parts[1]) : throw new DiffractException($"{_file}: merge {rank} is {Short(merge)}, wanted [\"a\", \"b\"] or \"a b\"; fetch the file again");
    }

    // As the reference library: an added token has the vocabulary's id for it, else the next one after the vocabulary's number of tokens; the ids written beside them are not heeded.
    AddedToken[] Added(JsonElement root, Dictionary<string, int> vocabulary)
    {
        Dictionary<string, AddedToken> added = new(StringComparer.Ordinal);
        int next = vocabulary.Count;
        if (!root.TryGetProperty("added_tokens", out JsonElement list) || list.ValueKind == JsonValueKind.Null)
        {
            return [];
        }

        foreach (JsonElement t in list.EnumerateArray())
        {
            _ = Id(t.GetProperty("id"));
            string content = ComponentReader.Text(t.GetProperty("content"));
            bool inVocabulary = vocabulary.TryGetValue(content, out int id);
            AddedToken token = new(
                inVocabulary ? id : next, content, ComponentReader.Flag(t, "single_word"),
                ComponentReader.Flag(t, "lstrip"), ComponentReader.Flag(t, "rstrip"), ComponentReader.Flag(t, "normalized"), ComponentReader.Flag(t, "special"));
            if (content.Length > 0 && !added.TryAdd(content, token) && added[content] with { Id = 0 } != token with { Id = 0 })
            {
                throw new DiffractException($"{_file}: the added token {content} is listed twice, with other options; fetch the file again");
            }

            next = content.Length > 0 && added[content] == token ? Math.Max(next, token.Id + 1) : next;
        }

        return [.. added.Values];
    }

    int Id(JsonElement value)
        => value.ValueKind == JsonValueKind.Number && value.TryGetInt32(out int id) && id is >= 0 and < IdLimit ? id
            : throw new DiffractException($"{_file}: a token's id is {Short(value)}, wanted a whole number from 0 to {(IdLimit - 1).ToString(CultureInfo.InvariantCulture)}; fetch the file again");

    static string Short(JsonElement value) => value.GetRawText() is { Length: > 60 } text ? text[..60] + "..." : value.GetRawText();
}

/// <summary>What a tokenizer is made of.</summary>
/// <param name="Vocabulary">Token to id, without the added ones.</param>
/// <param name="Model">Words to ids.</param>
/// <param name="Added">Tokens that are cut out of the text first.</param>
/// <param name="Normalizer">Steps from the text to what the model sees.</param>
/// <param name="PreTokenizer">Steps that cut it into words.</param>
/// <param name="Frame">What happens at the end: ids before and after a text, trimmed offsets.</param>
/// <param name="Decoder">Steps from tokens to text; without any decoder tokens are joined by spaces.</param>
sealed record TokenizerParts(
    Dictionary<string, int> Vocabulary, BytePairs Model, AddedToken[] Added, Normalizer[] Normalizer, PreTokenizer[] PreTokenizer, PostProcessor Frame, DecodeStep[]? Decoder);
