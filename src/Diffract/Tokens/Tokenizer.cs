using Diffract.Runs;
using Diffract.Tokens.Components;

namespace Diffract.Tokens;

/// <summary>
/// A tokenizer as <c>tokenizer.json</c> describes it: added tokens are cut out of the text, the rest is normalised, cut into words and merged; ids and offsets equal those of Hugging Face's library.
/// Safe to use from many threads.
/// </summary>
public sealed class Tokenizer
{
    const int MostGrowth = 64;

    readonly TokenizerParts _parts;
    readonly AddedTokens _raw = new();
    readonly AddedTokens _normalized = new();
    readonly Dictionary<string, int> _ids;
    readonly Dictionary<int, string> _texts;
    readonly Dictionary<int, string> _decoded = [];
    readonly HashSet<string> _special = new(StringComparer.Ordinal);

    Tokenizer(TokenizerParts parts)
    {
        _parts = parts;
        _ids = parts.Vocabulary;
        _texts = new Dictionary<int, string>(_ids.Count + parts.Added.Length);
        foreach ((string token, int id) in _ids)
        {
            _texts[id] = token;
        }

        // The first of two equal texts counts, special ones before the others.
        foreach (AddedToken token in parts.Added.OrderBy(t => !t.Special))
        {
            AlignedText content = AlignedText.Of(token.Content);
            if (token.Normalized)
            {
                (content, int start, int end) = Normalize(content, 0, content.Length);
                _normalized.Add(content.Span(start, end), token);
                _decoded[token.Id] = AlignedText.Join(content.Span(start, end));
            }
            else
            {
                _raw.Add(content.Span(0, content.Length), token);
            }

            _texts[token.Id] = token.Content;
            if (token.Special)
            {
                _special.Add(token.Content);
            }
        }

        AddedIds = parts.Added.ToDictionary(t => t.Content, t => t.Id, StringComparer.Ordinal);
        VocabularySize = _texts.Keys.Concat(parts.Frame.Names.Keys).DefaultIfEmpty(-1).Max() + 1;
    }

    /// <summary>Largest id plus one, added tokens included.</summary>
    public int VocabularySize { get; }

    /// <summary>The id that the tokenizer puts before a text, if it does.</summary>
    public int? BosId => _parts.Frame.Before is [int bos, ..] ? bos : null;

    Dictionary<string, int> AddedIds { get; }

    /// <summary>Whether the id is that of an added token.</summary>
    public bool IsAdded(int id) => AddedIds.ContainsValue(id);

    /// <summary>Reads <c>tokenizer.json</c> of a checkpoint folder; components that are not known are refused by name.</summary>
    public static Tokenizer Load(string modelFolder) => new(TokenizerFile.Read(modelFolder));

    /// <summary>Refuses a folder without a <c>tokenizer.json</c>, without reading it.</summary>
    public static void RequireFile(string modelFolder) => TokenizerFile.PathIn(modelFolder);

    public int? IdOf(string token) => AddedIds.TryGetValue(token, out int id) || _ids.TryGetValue(token, out id) ? id : null;

    /// <summary>The token as the vocabulary has it ("▁the", "&lt;0x0A&gt;", "Ġthe"), or "" for an id that is in no vocabulary.</summary>
    public string TokenText(int id) => _texts.TryGetValue(id, out string? text) || _parts.Frame.Names.TryGetValue(id, out text) ? text : "";

    /// <summary>Ids and offsets of a text. Without special tokens nothing is put before or after it; special tokens written in the text are recognised either way.</summary>
    public Encoding Encode(string text, bool addSpecialTokens = true)
    {
        AlignedText raw = AlignedText.Of(text);
        TokenList tokens = new(raw.Length / 3);
        // For offsets that are trimmed: an added token's white space is that of the text it was found in.
        Dictionary<int, (int Leading, int Trailing)> added = [];
        foreach ((int start, int end, AddedToken? token) in Cut(_raw, raw, 0, raw.Length))
        {
            if (token is not null)
            {
                AddToken(raw, start, end, token);
                continue;
            }

            (AlignedText section, int first, int last) = Normalize(raw, start, end);
            foreach ((int from, int to, AddedToken? inner) in Cut(_normalized, section, first, last))
            {
                if (inner is not null)
                {
                    AddToken(section, from, to, inner);
                }
                else
                {
                    EncodeWords(section, from, to, tokens);
                }
            }
        }

        if (_parts.Frame.Trims.Length > 0)
        {
            _parts.Frame.Trim(tokens, i => added.TryGetValue(i, out (int, int) spaces) ? spaces : PostProcessor.Spaces(TokenText(tokens.Ids[i])));
        }

        return addSpecialTokens ? tokens.Frame(_parts.Frame.Before, _parts.Frame.After) : tokens.Frame([], []);

        void AddToken(AlignedText from, int start, int end, AddedToken token)
        {
            if (_parts.Frame.Trims.Length > 0)
            {
                added[tokens.Count] = PostProcessor.Spaces(AlignedText.Join(from.Span(start, end)));
            }

            tokens.Add(token.Id, from.Range(start, end));
        }
    }

    /// <summary>The text that ids stand for. Ids that are in no vocabulary are left out.</summary>
    public string Decode(ReadOnlySpan<int> ids, bool skipSpecialTokens = false)
    {
        List<string> tokens = new(ids.Length);
        foreach (int id in ids)
        {
            // As the reference: a token that is looked for in the normalised text is decoded as that has it, and is special only if it is the same in both.
            if ((_decoded.TryGetValue(id, out string? token) || _texts.TryGetValue(id, out token)) && !(skipSpecialTokens && _special.Contains(token)))
            {
                tokens.Add(token);
            }
        }

        foreach (DecodeStep step in _parts.Decoder ?? [])
        {
            tokens = step.Apply(tokens);
        }

        return _parts.Decoder is null ? string.Join(' ', tokens) : string.Concat(tokens);
    }

    (AlignedText Text, int Start, int End) Normalize(AlignedText text, int start, int end)
    {
        int source = end - start;
        foreach (Normalizer step in _parts.Normalizer)
        {
            AlignedText next = step.Apply(text, start, end);
            if (!ReferenceEquals(next, text))
            {
                CheckGrowth(next, source);
                (text, start, end) = (next, 0, next.Length);
            }
        }

        return (text, start, end);
    }

    void EncodeWords(AlignedText text, int start, int end, TokenList tokens)
    {
        Words words = new(text, [(start, end)]);
        foreach (PreTokenizer step in _parts.PreTokenizer)
        {
            words = step.Apply(words);

            // What no step has written is the whole text, of which this may be a small part.
            if (!ReferenceEquals(words.Text, text))
            {
                CheckGrowth(words.Text, end - start);
            }
        }

        foreach ((int from, int to) in words.Ranges)
        {
            _parts.Model.Encode(words.Text, from, to, tokens);
        }
    }

    // Steps that each write a little more than they read double a text again and again where a file lists dozens of them. No step of a sound tokenizer writes more than four characters for one.
    static void CheckGrowth(AlignedText text, int source)
    {
        if (text.Length > source + (long)MostGrowth * (source + 16))
        {
            throw new DiffractException($"the tokenizer's steps make {text.Length} characters of {source}, at most {MostGrowth} for one are held; use a sound tokenizer.json");
        }
    }

    static List<(int Start, int End, AddedToken? Token)> Cut(AddedTokens added, AlignedText text, int start, int end)
        => added.Any ? added.Cut(text.Span(0, end), start, end) : start < end ? [(start, end, null)] : [];
}
