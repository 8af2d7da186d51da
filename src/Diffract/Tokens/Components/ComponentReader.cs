using System.Text.Json;
using Diffract.Runs;

namespace Diffract.Tokens.Components;

/// <summary>Reads the components around the model: normaliser, pre-tokenizer, post-processor and decoder, each missing, one, or a sequence of some.</summary>
sealed class ComponentReader(string file)
{
    /// <summary>More steps than that are no tokenizer, but a file that was made to be slow.</summary>
    const int MostSteps = 100;

    public static string Kind(JsonElement step) => step.TryGetProperty("type", out JsonElement type) ? Text(type) : "";

    public static string Text(JsonElement value) => value.GetString() ?? throw new FormatException("null in the place of a text");

    /// <summary>A switch that is off where it is missing.</summary>
    public static bool Flag(JsonElement element, string name, bool missing = false)
        => element.TryGetProperty(name, out JsonElement value) && value.ValueKind != JsonValueKind.Null ? value.GetBoolean() : missing;

    public DiffractException Unknown(string component, string type)
        => new($"{file}: {component} {type} is not supported; supported are BPE models with the normalizers Replace, Prepend, NFC and NFD, the pre-tokenizers Split, Digits, Punctuation, ByteLevel and Metaspace, "
            + "the post-processors TemplateProcessing and ByteLevel, and the decoders ByteLevel, ByteFallback, Fuse, Strip, Replace and Metaspace");

    public Normalizer[] Normalizers(JsonElement root) => [.. Steps(root, "normalizer", "normalizers").Select(Normalizer)];

    /// <summary>The pre-tokenizer's steps. Bytes' characters as the last of them are left to the model (<paramref name="byteLevel"/>), which knows words before they are bytes.</summary>
    public PreTokenizer[] PreTokenizers(JsonElement root, out bool byteLevel)
    {
        List<PreTokenizer> steps = [.. Steps(root, "pre_tokenizer", "pretokenizers").SelectMany(PreTokenizer)];
        byteLevel = steps is [.., ByteCharacters];
        return byteLevel ? [.. steps[..^1]] : [.. steps];
    }

    /// <summary>The decoder's steps, or null where there is no decoder.</summary>
    public DecodeStep[]? Decoders(JsonElement root)
        => !root.TryGetProperty("decoder", out JsonElement decoder) || decoder.ValueKind == JsonValueKind.Null ? null : [.. Steps(root, "decoder", "decoders").Select(Decoder)];

    /// <param name="root">The file.</param>
    /// <param name="id">Reads and checks an id.</param>
    public PostProcessor PostProcessor(JsonElement root, Func<JsonElement, int> id)
    {
        List<int> before = [], after = [];
        List<bool> trims = [];
        Dictionary<int, string> names = [];
        bool framed = false;
        foreach (JsonElement step in Steps(root, "post_processor", "processors"))
        {
            switch (Kind(step))
            {
                case "ByteLevel":
                    if (Flag(step, "trim_offsets", true))
                    {
                        trims.Add(Flag(step, "add_prefix_space", true));
                    }

                    break;
                case "TemplateProcessing" when !framed:
                    framed = true;
                    Template(step, before, after, names, id);
                    break;
                case string other:
                    throw Unknown("post_processor", framed && other == "TemplateProcessing" ? "of two TemplateProcessing" : other);
            }
        }

        return new PostProcessor([.. before], [.. after], [.. trims], names);
    }

    // A component may be missing, one, or a sequence of some, which may be sequences too.
    List<JsonElement> Steps(JsonElement root, string name, string listName)
    {
        List<JsonElement> steps = [];
        if (root.TryGetProperty(name, out JsonElement step) && step.ValueKind != JsonValueKind.Null)
        {
            Flatten(step);
        }

        return steps;

        void Flatten(JsonElement element)
        {
            if (Kind(element) == "Sequence")
            {
                foreach (JsonElement inner in element.GetProperty(listName).EnumerateArray())
                {
                    Flatten(inner);
                }

                return;
            }

            steps.Add(element);
            if (steps.Count > MostSteps)
            {
                throw new DiffractException($"{file}: {name} has more than {MostSteps} steps; fetch the file again");
            }
        }
    }

    Normalizer Normalizer(JsonElement step) => Kind(step) switch
    {
        "Replace" => new ReplaceNormalizer(Pattern(step, "normalizer Replace"), Text(step.GetProperty("content")), file),
        "Prepend" => Text(step.GetProperty("prepend")) is { Length: > 0 } prefix ? new PrependNormalizer(prefix) : throw Unknown("normalizer", "Prepend of nothing"),
        "NFC" => new CanonicalNormalizer(compose: true),
        "NFD" => new CanonicalNormalizer(compose: false),
        string other => throw Unknown("normalizer", other),
    };

    IEnumerable<PreTokenizer> PreTokenizer(JsonElement step)
    {
        switch (Kind(step))
        {
            case "Split":
                return [new SplitPreTokenizer(Pattern(step, "pre_tokenizer Split"), Behaviour(Text(step.GetProperty("behavior"))), Flag(step, "invert"))];
            case "Digits":
                return [new SplitPreTokenizer(
                    TextPattern.Where(c => Characters.Kind(c) == Characters.Number), Flag(step, "individual_digits") ? SplitBehaviour.Isolated : SplitBehaviour.Contiguous)];
            case "Punctuation":
                return [new SplitPreTokenizer(
                    TextPattern.Where(Characters.IsPunctuation), step.TryGetProperty("behavior", out JsonElement behaviour) ? Behaviour(Text(behaviour)) : SplitBehaviour.Isolated)];
            case "ByteLevel":
                return
                [
                    .. Flag(step, "add_prefix_space", true) ? (PreTokenizer[])[new PrefixSpace()] : [],
                    .. Flag(step, "use_regex", true) ? (PreTokenizer[])[new SplitPreTokenizer(WordScanner.Gpt2, SplitBehaviour.Isolated)] : [],
                    new ByteCharacters(),
                ];
            case "Metaspace":
                int replacement = Replacement(step);
                PreTokenizer characters = new MetaspaceCharacters(replacement, Scheme(step));
                return Flag(step, "split", true) ? [characters, new SplitPreTokenizer(TextPattern.Where(c => c == replacement), SplitBehaviour.MergedWithNext)] : [characters];
            default:
                throw Unknown("pre_tokenizer", Kind(step));
        }
    }

    DecodeStep Decoder(JsonElement step)
    {
        switch (Kind(step))
        {
            case "Replace":
                return step.GetProperty("pattern").TryGetProperty("String", out JsonElement from) && Text(from).Length > 0
                    ? new ReplaceStep(Text(from), Text(step.GetProperty("content")))
                    : throw Unknown("decoder", "Replace by a regular expression or of nothing");
            case "ByteFallback":
                return new ByteFallbackStep();
            case "ByteLevel":
                return new ByteLevelStep();
            case "Fuse":
                return new FuseStep();
            case "Strip":
                string content = Text(step.GetProperty("content"));
                return AlignedText.Of(content).Length == 1
                    ? new StripStep(content, Count(step, "start"), Count(step, "stop"))
                    : throw Unknown("decoder", $"Strip of \"{content}\" (one character)");
            case "Metaspace":
                return new MetaspaceStep(char.ConvertFromUtf32(Replacement(step)), Scheme(step) != PrependScheme.Never);
            default:
                throw Unknown("decoder", Kind(step));
        }
    }

    // What goes before and after the one text, by ids.
    void Template(JsonElement step, List<int> before, List<int> after, Dictionary<int, string> names, Func<JsonElement, int> id)
    {
        bool seen = false;
        foreach (JsonElement piece in step.GetProperty("single").EnumerateArray())
        {
            if (piece.TryGetProperty("Sequence", out JsonElement sequence))
            {
                if (seen || Text(sequence.GetProperty("id")) != "A")
                {
                    throw Unknown("post_processor", "TemplateProcessing of more than one text");
                }

                seen = true;
                continue;
            }

            string name = Text(piece.GetProperty("SpecialToken").GetProperty("id"));
            JsonElement special = step.GetProperty("special_tokens").GetProperty(name), texts = special.GetProperty("tokens");
            foreach (JsonElement value in special.GetProperty("ids").EnumerateArray())
            {
                int count = texts.GetArrayLength();
                (seen ? after : before).Add(id(value));
                names.TryAdd(id(value), count == 1 ? Text(texts[0]) : name);
            }

            if (before.Count + after.Count > MostSteps)
            {
                throw new DiffractException($"{file}: the post_processor adds more than {MostSteps} tokens; fetch the file again");
            }
        }

        if (!seen)
        {
            throw Unknown("post_processor", "TemplateProcessing without the text");
        }
    }

    TextPattern Pattern(JsonElement step, string where)
    {
        JsonElement pattern = step.GetProperty("pattern");
        if (pattern.TryGetProperty("Regex", out JsonElement regex))
        {
            return TextPattern.Regex(Text(regex), $"{file}: {where}");
        }

        string text = Text(pattern.GetProperty("String"));
        return text.Length > 0 ? TextPattern.Literal(text) : throw Unknown(where, "by an empty text");
    }

    static SplitBehaviour Behaviour(string name) => name switch
    {
        "Removed" => SplitBehaviour.Removed,
        "Isolated" => SplitBehaviour.Isolated,
        "MergedWithPrevious" => SplitBehaviour.MergedWithPrevious,
        "MergedWithNext" => SplitBehaviour.MergedWithNext,
        "Contiguous" => SplitBehaviour.Contiguous,
        _ => throw new FormatException($"behaviour {name} of a split"),
    };

    static int Replacement(JsonElement step)
    {
        AlignedText replacement = AlignedText.Of(Text(step.GetProperty("replacement")));
        return replacement.Length == 1 ? replacement.CodePoints[0] : throw new FormatException("the replacement of a Metaspace is not one character");
    }

    // As the reference: without a scheme a character is always put before the text, and an older file's switch may not say otherwise.
    static PrependScheme Scheme(JsonElement step)
    {
        PrependScheme scheme = !step.TryGetProperty("prepend_scheme", out JsonElement named) ? PrependScheme.Always : Text(named) switch
        {
            "always" => PrependScheme.Always,
            "first" => PrependScheme.First,
            "never" => PrependScheme.Never,
            string other => throw new FormatException($"prepend_scheme {other}"),
        };
        return Flag(step, "add_prefix_space", true) || scheme == PrependScheme.Never ? scheme : throw new FormatException("add_prefix_space of a Metaspace disagrees with its prepend_scheme");
    }

    static int Count(JsonElement step, string name) => step.GetProperty(name) is var value && value.TryGetInt32(out int count) && count >= 0 ? count : throw new FormatException($"{name} of a Strip");
}
