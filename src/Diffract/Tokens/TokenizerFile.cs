using System.Text.Json;
using Diffract.Runs;

namespace Diffract.Tokens;

/// <summary>
/// Reads <c>tokenizer.json</c> into its components. What a component's type is not known for is refused by that type's name, so that ids are either right or not made at all.
/// Known: the components of Gemma's tokenizers.
/// </summary>
sealed class TokenizerFile
{
    readonly string _file;

    TokenizerFile(string file) => _file = file;

    public static TokenizerParts Read(string folder)
    {
        string file = Path.Combine(folder, "tokenizer.json");
        if (!File.Exists(file))
        {
            throw DiffractException.Argument(Directory.Exists(folder)
                ? $"{folder} has no tokenizer.json; wanted a Hugging Face checkpoint folder with config.json, model.safetensors and tokenizer.json"
                : $"folder {folder} does not exist; wanted a Hugging Face checkpoint folder");
        }

        try
        {
            using FileStream stream = File.OpenRead(file);
            using JsonDocument document = JsonDocument.Parse(stream);
            return new TokenizerFile(file).Parse(document.RootElement);
        }
        catch (Exception e) when (e is JsonException or KeyNotFoundException or InvalidOperationException or FormatException or IndexOutOfRangeException)
        {
            throw new DiffractException($"{file} is not a tokenizer ({e.Message}); fetch it again", inner: e);
        }
    }

    TokenizerParts Parse(JsonElement root)
    {
        JsonElement model = root.GetProperty("model");
        Dictionary<string, int> vocabulary = new(StringComparer.Ordinal);
        BytePairs pairs = Pairs(model, vocabulary);
        AddedToken[] added = root.TryGetProperty("added_tokens", out JsonElement list) && list.ValueKind == JsonValueKind.Array
            ? [.. list.EnumerateArray().Select(t => new AddedToken(
                t.GetProperty("id").GetInt32(), t.GetProperty("content").GetString()!, Flag(t, "single_word"), Flag(t, "lstrip"), Flag(t, "rstrip"), Flag(t, "normalized"), Flag(t, "special")))]
            : [];
        return new TokenizerParts(
            vocabulary,
            pairs,
            added,
            [.. Steps(root, "normalizer", "normalizers").Select(Replacement)],
            [.. Steps(root, "pre_tokenizer", "pretokenizers").Select(SplitPattern)],
            PostProcessor(root),
            [.. Steps(root, "decoder", "decoders").Select(DecoderStep)]);
    }

    BytePairs Pairs(JsonElement model, Dictionary<string, int> vocabulary)
    {
        string type = Kind(model);
        if (type is not ("BPE" or ""))
        {
            throw Unknown("model", type);
        }

        foreach (string option in (string[])["continuing_subword_prefix", "end_of_word_suffix"])
        {
            if (model.TryGetProperty(option, out JsonElement value) && value.ValueKind == JsonValueKind.String && value.GetString()!.Length > 0)
            {
                throw Unknown("model option", option);
            }
        }

        foreach (JsonProperty token in model.GetProperty("vocab").EnumerateObject())
        {
            vocabulary[token.Name] = token.Value.GetInt32();
        }

        Dictionary<ulong, (int Rank, int Id)> merges = [];
        int rank = 0;
        foreach (JsonElement merge in model.GetProperty("merges").EnumerateArray())
        {
            (string left, string right) = MergePair(merge, rank);
            if (!vocabulary.TryGetValue(left, out int l) || !vocabulary.TryGetValue(right, out int r) || !vocabulary.TryGetValue(left + right, out int merged))
            {
                throw new DiffractException($"{_file}: merge {rank} (\"{left}\" and \"{right}\") uses a token that the vocabulary lacks; fetch the file again");
            }

            merges[BytePairs.Pair(l, r)] = (rank++, merged);
        }

        string? unknown = model.TryGetProperty("unk_token", out JsonElement unk) ? unk.GetString() : null;
        int? unknownId = unknown is null ? null
            : vocabulary.TryGetValue(unknown, out int id) ? id
            : throw new DiffractException($"{_file}: the unknown token {unknown} is not in the vocabulary; fetch the file again");
        return new BytePairs(vocabulary, merges, Flag(model, "byte_fallback"), unknownId, Flag(model, "fuse_unk"), Flag(model, "ignore_merges"));
    }

    (string Left, string Right) MergePair(JsonElement merge, int rank)
    {
        if (merge.ValueKind == JsonValueKind.Array && merge.GetArrayLength() == 2)
        {
            return (merge[0].GetString()!, merge[1].GetString()!);
        }

        string[] parts = merge.ValueKind == JsonValueKind.String ? merge.GetString()!.Split(' ') : [];
        return parts.Length == 2 ? (parts[0], parts[1]) : throw new DiffractException($"{_file}: merge {rank} is {merge.GetRawText()}, wanted [\"a\", \"b\"] or \"a b\"; fetch the file again");
    }

    // A component may be missing, one, or a sequence of some.
    static JsonElement[] Steps(JsonElement root, string name, string listName)
    {
        if (!root.TryGetProperty(name, out JsonElement step) || step.ValueKind == JsonValueKind.Null)
        {
            return [];
        }

        return Kind(step) == "Sequence" ? [.. step.GetProperty(listName).EnumerateArray()] : [step];
    }

    (int From, int To) Replacement(JsonElement step)
    {
        if (Kind(step) != "Replace")
        {
            throw Unknown("normalizer", Kind(step));
        }

        (string from, string to) = ReplacePair(step, "normalizer");
        int[] pattern = Tokenizer.CodePoints(from), content = Tokenizer.CodePoints(to);
        return pattern.Length == 1 && content.Length == 1 ? (pattern[0], content[0]) : throw Unknown("normalizer", $"Replace of \"{from}\" by \"{to}\" (one character by one)");
    }

    int SplitPattern(JsonElement step)
    {
        if (Kind(step) != "Split")
        {
            throw Unknown("pre_tokenizer", Kind(step));
        }

        string behaviour = step.GetProperty("behavior").GetString()!;
        string? pattern = step.GetProperty("pattern").TryGetProperty("String", out JsonElement text) ? text.GetString() : null;
        if (behaviour != "MergedWithPrevious" || pattern is null || Flag(step, "invert") || Tokenizer.CodePoints(pattern) is not [int character])
        {
            throw Unknown("pre_tokenizer", $"Split {behaviour} by {step.GetProperty("pattern").GetRawText()}");
        }

        return character;
    }

    DecodeStep DecoderStep(JsonElement step)
    {
        if (Kind(step) == "Replace")
        {
            (string from, string to) = ReplacePair(step, "decoder");
            return new DecodeStep(DecodeKind.Replace, from, to);
        }

        return Kind(step) switch
        {
            "ByteFallback" => new DecodeStep(DecodeKind.ByteFallback),
            "Fuse" => new DecodeStep(DecodeKind.Fuse),
            string other => throw Unknown("decoder", other),
        };
    }

    (int[] Before, int[] After) PostProcessor(JsonElement root)
    {
        if (!root.TryGetProperty("post_processor", out JsonElement processor) || processor.ValueKind == JsonValueKind.Null)
        {
            return ([], []);
        }

        if (Kind(processor) != "TemplateProcessing")
        {
            throw Unknown("post_processor", Kind(processor));
        }

        List<int> before = [], after = [];
        bool seen = false;
        foreach (JsonElement piece in processor.GetProperty("single").EnumerateArray())
        {
            if (piece.TryGetProperty("Sequence", out _))
            {
                seen = true;
                continue;
            }

            string name = piece.GetProperty("SpecialToken").GetProperty("id").GetString()!;
            (seen ? after : before).AddRange(processor.GetProperty("special_tokens").GetProperty(name).GetProperty("ids").EnumerateArray().Select(i => i.GetInt32()));
        }

        return ([.. before], [.. after]);
    }

    (string From, string To) ReplacePair(JsonElement step, string where)
        => step.GetProperty("pattern").TryGetProperty("String", out JsonElement from)
            ? (from.GetString()!, step.GetProperty("content").GetString()!)
            : throw Unknown(where, "Replace by a regular expression");

    static string Kind(JsonElement step) => step.ValueKind == JsonValueKind.Object && step.TryGetProperty("type", out JsonElement type) ? type.GetString()! : "";

    static bool Flag(JsonElement element, string name) => element.TryGetProperty(name, out JsonElement value) && value.ValueKind == JsonValueKind.True;

    DiffractException Unknown(string component, string type)
        => new($"{_file}: {component} {type} is not supported; supported are the tokenizers of Gemma 2 (BPE with byte fallback, Replace, Split, TemplateProcessing, ByteFallback, Fuse)");
}

/// <summary>What a tokenizer is made of.</summary>
/// <param name="Vocabulary">Token to id, without the added ones.</param>
/// <param name="Model">Words to ids.</param>
/// <param name="Added">Tokens that are cut out of the text first.</param>
/// <param name="Replacements">Characters that the normaliser replaces, in order.</param>
/// <param name="SplitAfter">Characters after which a word ends.</param>
/// <param name="Frame">Ids that go before and after a text.</param>
/// <param name="Decoder">Steps from tokens to text.</param>
sealed record TokenizerParts(
    Dictionary<string, int> Vocabulary, BytePairs Model, AddedToken[] Added, (int From, int To)[] Replacements, int[] SplitAfter, (int[] Before, int[] After) Frame, DecodeStep[] Decoder);

/// <summary>Kinds of steps from tokens to text.</summary>
enum DecodeKind
{
    Replace,
    ByteFallback,
    Fuse,
}

/// <summary>One step from tokens to text; From and To of a Replace.</summary>
sealed record DecodeStep(DecodeKind Kind, string From = "", string To = "");
