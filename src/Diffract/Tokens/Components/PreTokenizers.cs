namespace Diffract.Tokens.Components;

/// <summary>A text cut into words, each an own range of it; what is in no range is dropped.</summary>
sealed class Words(AlignedText text, List<(int Start, int End)> ranges)
{
    public AlignedText Text { get; } = text;

    public List<(int Start, int End)> Ranges { get; } = ranges;
}

/// <summary>One step from a text to its words.</summary>
abstract class PreTokenizer
{
    public abstract Words Apply(Words words);
}

/// <summary>What becomes of what a split's pattern matches.</summary>
enum SplitBehaviour
{
    Removed,
    Isolated,
    MergedWithPrevious,
    MergedWithNext,
    Contiguous,
}

/// <summary>Cuts words at a pattern; inverted, what the pattern matches and what lies between its matches change places.</summary>
sealed class SplitPreTokenizer(TextPattern pattern, SplitBehaviour behaviour, bool invert = false) : PreTokenizer
{
    public override Words Apply(Words words)
    {
        List<(int Start, int End)> result = new(words.Ranges.Count), matches = [];
        foreach ((int start, int end) in words.Ranges)
        {
            matches.Clear();
            pattern.Find(words.Text, start, end, matches);
            if (behaviour == SplitBehaviour.Isolated)
            {
                Isolate(matches, start, end, result);
            }
            else
            {
                Merge(Pieces(matches, start, end), result);
            }
        }

        return new Words(words.Text, result);
    }

    static void Isolate(List<(int Start, int End)> matches, int start, int end, List<(int Start, int End)> result)
    {
        int from = start;
        foreach ((int Start, int End) match in matches)
        {
            Add(result, from, match.Start);
            Add(result, match.Start, match.End);
            from = match.End;
        }

        Add(result, from, end);
    }

    List<(int Start, int End, bool Match)> Pieces(List<(int Start, int End)> matches, int start, int end)
    {
        List<(int Start, int End, bool Match)> pieces = [];
        int from = start;
        foreach ((int Start, int End) match in matches)
        {
            if (match.Start > from)
            {
                pieces.Add((from, match.Start, invert));
            }

            pieces.Add((match.Start, match.End, !invert));
            from = match.End;
        }

        if (from < end)
        {
            pieces.Add((from, end, invert));
        }

        return pieces;
    }

    void Merge(List<(int Start, int End, bool Match)> pieces, List<(int Start, int End)> result)
    {
        // A run of pieces that belong together, from where on it stretches; the pieces touch one another.
        int from = -1;
        for (int i = 0; i < pieces.Count; i++)
        {
            (int start, int end, bool match) = pieces[i];
            bool before = i > 0 && pieces[i - 1].Match, after = i + 1 < pieces.Count && pieces[i + 1].Match;
            bool joinsNext = i + 1 < pieces.Count && behaviour switch
            {
                SplitBehaviour.MergedWithPrevious => after && !match,
                SplitBehaviour.MergedWithNext => match && !after,
                SplitBehaviour.Contiguous => match == after,
                _ => false,
            };
            from = from < 0 ? start : from;
            if (joinsNext)
            {
                continue;
            }

            if (behaviour != SplitBehaviour.Removed || !match)
            {
                Add(result, from, end);
            }

            from = -1;
        }
    }

    static void Add(List<(int Start, int End)> result, int start, int end)
    {
        if (start < end)
        {
            result.Add((start, end));
        }
    }
}

/// <summary>Steps that write the text anew: a character may go before each word, and the words' characters become others.</summary>
abstract class RewritingPreTokenizer : PreTokenizer
{
    public override Words Apply(Words words)
    {
        AlignedTextBuilder text = new(words.Text.Length + words.Ranges.Count);
        List<(int Start, int End)> ranges = new(words.Ranges.Count);
        foreach ((int start, int end) in words.Ranges)
        {
            int from = text.Length;
            Rewrite(words.Text, start, end, text);
            ranges.Add((from, text.Length));
        }

        return new Words(text.Build(), ranges);
    }

    /// <summary>Appends the word's new characters.</summary>
    protected abstract void Rewrite(AlignedText text, int start, int end, AlignedTextBuilder to);
}

/// <summary>A space before each word that begins with none.</summary>
sealed class PrefixSpace : RewritingPreTokenizer
{
    protected override void Rewrite(AlignedText text, int start, int end, AlignedTextBuilder to)
    {
        if (text.CodePoints[start] != ' ')
        {
            to.Add(' ', text.At(start));
        }

        for (int i = start; i < end; i++)
        {
            to.Add(text.CodePoints[i], text.At(i));
        }
    }
}

/// <summary>The characters that stand for a word's bytes, each in the place of the byte's character.</summary>
sealed class ByteCharacters : RewritingPreTokenizer
{
    protected override void Rewrite(AlignedText text, int start, int end, AlignedTextBuilder to)
    {
        Span<int> bytes = stackalloc int[4];
        for (int i = start; i < end; i++)
        {
            int count = ByteAlphabet.Write(text.CodePoints[i], bytes);
            for (int k = 0; k < count; k++)
            {
                to.Add(bytes[k], text.At(i));
            }
        }
    }
}

/// <summary>When a replacement character is put before a word.</summary>
enum PrependScheme
{
    Always,
    First,
    Never,
}

/// <summary>Spaces become a visible character, which may also go before the word.</summary>
sealed class MetaspaceCharacters(int replacement, PrependScheme scheme) : RewritingPreTokenizer
{
    protected override void Rewrite(AlignedText text, int start, int end, AlignedTextBuilder to)
    {
        int first = text.CodePoints[start];
        if (first != ' ' && first != replacement && (scheme == PrependScheme.Always || (scheme == PrependScheme.First && text.At(start) == 0)))
        {
            to.Add(replacement, text.At(start));
        }

        for (int i = start; i < end; i++)
        {
            to.Add(text.CodePoints[i] == ' ' ? replacement : text.CodePoints[i], text.At(i));
        }
    }
}
