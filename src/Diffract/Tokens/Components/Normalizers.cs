using Diffract.Runs;

namespace Diffract.Tokens.Components;

/// <summary>One step of a normaliser: text[start..end) becomes a text of its own, or stays.</summary>
abstract class Normalizer
{
    /// <summary>The changed text, whole; or the same object, of which start and end still count.</summary>
    public abstract AlignedText Apply(AlignedText text, int start, int end);
}

/// <summary>What a pattern matches becomes another text, which stands where the match's last character stood.</summary>
sealed class ReplaceNormalizer(TextPattern pattern, string content, string where) : Normalizer
{
    readonly int[] _content = [.. AlignedText.Of(content).CodePoints.AsSpan(0, AlignedText.Of(content).Length)];

    public override AlignedText Apply(AlignedText text, int start, int end)
    {
        List<(int Start, int End)> matches = [];
        pattern.Find(text, start, end, matches);
        if (matches.Count == 0)
        {
            return text;
        }

        AlignedTextBuilder result = new(end - start);
        int from = start;
        foreach ((int Start, int End) match in matches)
        {
            if (match.Start == match.End)
            {
                throw new DiffractException($"{where}: the pattern of a Replace matches nothing at all, which is not supported; use a tokenizer with another normalizer");
            }

            Copy(from, match.Start);
            foreach (int c in _content)
            {
                result.Add(c, text.At(match.End - 1));
            }

            from = match.End;
        }

        Copy(from, end);
        return result.Build();

        void Copy(int first, int last)
        {
            for (int i = first; i < last; i++)
            {
                result.Add(text.CodePoints[i], text.At(i));
            }
        }
    }
}

/// <summary>A text goes before one that is not empty, in the place of its first character.</summary>
sealed class PrependNormalizer(string prefix) : Normalizer
{
    readonly AlignedText _prefix = AlignedText.Of(prefix);

    public override AlignedText Apply(AlignedText text, int start, int end)
    {
        if (start == end)
        {
            return text;
        }

        AlignedTextBuilder result = new(end - start + _prefix.Length);
        foreach (int c in _prefix.Span(0, _prefix.Length))
        {
            result.Add(c, text.At(start));
        }

        for (int i = start; i < end; i++)
        {
            result.Add(text.CodePoints[i], text.At(i));
        }

        return result.Build();
    }
}

/// <summary>NFC or NFD.</summary>
sealed class CanonicalNormalizer(bool compose) : Normalizer
{
    public override AlignedText Apply(AlignedText text, int start, int end)
        => compose ? CanonicalForm.Compose(text, start, end) : CanonicalForm.Decompose(text, start, end);
}
