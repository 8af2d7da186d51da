using System.Globalization;
using System.Text;

namespace Diffract.Tokens;

/// <summary>
/// A tokenizer as <c>tokenizer.json</c> describes it: added tokens are cut out of the text, the rest is normalised, cut into words and merged; ids and offsets equal those of Hugging Face's library.
/// Safe to use from many threads.
/// </summary>
public sealed class Tokenizer
{
    readonly TokenizerParts _parts;
    readonly AddedTokens _raw = new();
    readonly AddedTokens _normalized = new();
    readonly Dictionary<string, int> _ids;
    readonly Dictionary<int, string> _texts = [];
    readonly HashSet<int> _special = [];

    Tokenizer(TokenizerParts parts)
    {
        _parts = parts;
        _ids = new Dictionary<string, int>(parts.Vocabulary, StringComparer.Ordinal);
        foreach ((string token, int id) in parts.Vocabulary)
        {
            _texts[id] = token;
        }

        foreach (AddedToken token in parts.Added)
        {
            int[] content = CodePoints(token.Content);
            (token.Normalized ? _normalized : _raw).Add(token.Normalized ? Normalize(content) : content, token);
            _ids[token.Content] = token.Id;
            _texts[token.Id] = token.Content;
            if (token.Special)
            {
                _special.Add(token.Id);
            }
        }

        VocabularySize = _texts.Count == 0 ? 0 : _texts.Keys.Max() + 1;
    }

    /// <summary>Largest id plus one, added tokens included.</summary>
    public int VocabularySize { get; }

    /// <summary>The id that the tokenizer puts before a text, if it does.</summary>
    public int? BosId => _parts.Frame.Before is [int bos, ..] ? bos : null;

    /// <summary>Reads <c>tokenizer.json</c> of a checkpoint folder; components that are not known are refused by name.</summary>
    public static Tokenizer Load(string modelFolder) => new(TokenizerFile.Read(modelFolder));

    public int? IdOf(string token) => _ids.TryGetValue(token, out int id) ? id : null;

    /// <summary>The token as the vocabulary has it ("▁the", "&lt;0x0A&gt;"), or "" for an id that is in no vocabulary.</summary>
    public string TokenText(int id) => _texts.GetValueOrDefault(id, "");

    /// <summary>Ids and offsets of a text. Without special tokens nothing is put before or after it; special tokens written in the text are recognised either way.</summary>
    public Encoding Encode(string text, bool addSpecialTokens = true)
    {
        int[] raw = CodePoints(text);
        int[] normal = Normalize(raw);
        List<int> ids = [];
        List<(int Start, int End)> offsets = [];
        if (addSpecialTokens)
        {
            Frame(_parts.Frame.Before, 0);
        }

        foreach ((int start, int end, AddedToken? token) in Cut(_raw, raw, 0, raw.Length))
        {
            if (token is not null)
            {
                ids.Add(token.Id);
                offsets.Add((start, end));
                continue;
            }

            foreach ((int from, int to, AddedToken? inner) in Cut(_normalized, normal, start, end))
            {
                if (inner is not null)
                {
                    ids.Add(inner.Id);
                    offsets.Add((from, to));
                }
                else
                {
                    Words(normal, from, to, ids, offsets);
                }
            }
        }

        if (addSpecialTokens)
        {
            Frame(_parts.Frame.After, 0);
        }

        return new Encoding([.. ids], [.. offsets]);

        void Frame(int[] special, int at)
        {
            ids.AddRange(special);
            offsets.AddRange(Enumerable.Repeat((at, at), special.Length));
        }
    }

    /// <summary>The text that ids stand for. Ids that are in no vocabulary are left out.</summary>
    public string Decode(ReadOnlySpan<int> ids, bool skipSpecialTokens = false)
    {
        List<string> tokens = [];
        foreach (int id in ids)
        {
            if (_texts.TryGetValue(id, out string? token) && !(skipSpecialTokens && _special.Contains(id)))
            {
                tokens.Add(token);
            }
        }

        foreach (DecodeStep step in _parts.Decoder)
        {
            tokens = step.Kind switch
            {
                DecodeKind.Replace => tokens.ConvertAll(t => t.Replace(step.From, step.To, StringComparison.Ordinal)),
                DecodeKind.ByteFallback => JoinBytes(tokens),
                _ => [string.Concat(tokens)],
            };
        }

        return _parts.Decoder.Length == 0 ? string.Join(' ', tokens) : string.Concat(tokens);
    }

    internal static int[] CodePoints(string text)
    {
        int[] result = new int[text.Length];
        int n = 0;
        foreach (Rune rune in text.EnumerateRunes())
        {
            result[n++] = rune.Value;
        }

        return n == result.Length ? result : result[..n];
    }

    internal static string Join(ReadOnlySpan<int> codePoints)
    {
        StringBuilder text = new(codePoints.Length);
        foreach (int c in codePoints)
        {
            text.Append(char.ConvertFromUtf32(c));
        }

        return text.ToString();
    }

    int[] Normalize(int[] text)
    {
        if (_parts.Replacements.Length == 0)
        {
            return text;
        }

        int[] result = [.. text];
        foreach ((int from, int to) in _parts.Replacements)
        {
            result.AsSpan().Replace(from, to);
        }

        return result;
    }

    void Words(int[] text, int start, int end, List<int> ids, List<(int Start, int End)> offsets)
    {
        int from = start;
        for (int i = start; i < end; i++)
        {
            if (i + 1 == end || _parts.SplitAfter.Contains(text[i]))
            {
                _parts.Model.Encode(text, from, i + 1, ids, offsets);
                from = i + 1;
            }
        }
    }

    static List<(int Start, int End, AddedToken? Token)> Cut(AddedTokens added, int[] text, int start, int end)
        => added.Any ? added.Cut(text, start, end) : start < end ? [(start, end, null)] : [];

    // Runs of byte tokens become the text that the bytes are, or a replacement character for each byte where they are no UTF-8.
    static List<string> JoinBytes(List<string> tokens)
    {
        UTF8Encoding strict = new(false, throwOnInvalidBytes: true);
        List<string> result = [];
        List<byte> bytes = [];
        foreach (string token in tokens)
        {
            if (token.Length == 6 && token.StartsWith("<0x", StringComparison.Ordinal) && token[5] == '>'
                && byte.TryParse(token.AsSpan(3, 2), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out byte value))
            {
                bytes.Add(value);
                continue;
            }

            Flush();
            result.Add(token);
        }

        Flush();
        return result;

        void Flush()
        {
            if (bytes.Count > 0)
            {
                try
                {
                    result.Add(strict.GetString([.. bytes]));
                }
                catch (DecoderFallbackException)
                {
                    result.Add(new string('\uFFFD', bytes.Count));
                }

                bytes.Clear();
            }
        }
    }
}
