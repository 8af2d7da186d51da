namespace Diffract.Tokens.Components;

/// <summary>
/// The split patterns of GPT-2, Llama 3 and Qwen 2 by hand: the same matches as the regular expressions, in one pass and without going back.
/// </summary>
sealed class WordScanner : TextPattern
{
    /// <summary>The pattern of byte-level pre-tokenizers.</summary>
    public const string Gpt2Pattern = @"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

    const string Llama3Pattern = @"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
    const string Qwen2Pattern = @"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

    readonly bool _gpt2;
    readonly int _digits;

    WordScanner(bool gpt2, int digits) => (_gpt2, _digits) = (gpt2, digits);

    public static WordScanner Gpt2 { get; } = new(true, int.MaxValue);

    /// <summary>The scanner of a pattern that is one of the three, else null.</summary>
    public static WordScanner? TryFor(string pattern) => pattern switch
    {
        Gpt2Pattern => Gpt2,
        Llama3Pattern => new WordScanner(false, 3),
        Qwen2Pattern => new WordScanner(false, 1),
        _ => null,
    };

    public override void Find(AlignedText text, int start, int end, List<(int Start, int End)> matches)
    {
        ReadOnlySpan<int> codePoints = text.Span(0, end);
        for (int at = start; at < end;)
        {
            int next = Next(codePoints, at);
            matches.Add((at, next));
            at = next;
        }
    }

    int Next(ReadOnlySpan<int> text, int at)
    {
        int first = text[at];
        byte kind = Characters.Kind(first);
        int after = at + 1 < text.Length ? Characters.Kind(text[at + 1]) : -1;
        if (first == '\'' && Contraction(text, at) is > 0 and int length)
        {
            return at + length;
        }

        if (kind == Characters.Letter)
        {
            return Run(text, at + 1, Characters.Letter);
        }

        // A letter's run takes a space before it, in the newer patterns any character but a number or the end of a line.
        if (after == Characters.Letter && (_gpt2 ? first == ' ' : kind != Characters.Number && first is not ('\r' or '\n')))
        {
            return Run(text, at + 2, Characters.Letter);
        }

        if (kind == Characters.Number)
        {
            return Numbers(text, at);
        }

        if (_gpt2 && first == ' ' && after == Characters.Number)
        {
            return Run(text, at + 2, Characters.Number);
        }

        if (kind == Characters.Other || (first == ' ' && after == Characters.Other))
        {
            int end = Run(text, at + 1, Characters.Other);
            while (!_gpt2 && end < text.Length && text[end] is '\r' or '\n')
            {
                end++;
            }

            return end;
        }

        return Spaces(text, at);
    }

    // White space: up to its last end of line (newer patterns), else all but the last character, which belongs to what follows.
    int Spaces(ReadOnlySpan<int> text, int at)
    {
        int end = at, line = -1;
        for (; end < text.Length && Characters.Kind(text[end]) == Characters.Space; end++)
        {
            if (text[end] is '\r' or '\n')
            {
                line = end;
            }
        }

        return line >= 0 && !_gpt2 ? line + 1 : end == text.Length || end - at == 1 ? end : end - 1;
    }

    int Numbers(ReadOnlySpan<int> text, int at)
    {
        int end = at + 1;
        while (end < text.Length && end - at < _digits && Characters.Kind(text[end]) == Characters.Number)
        {
            end++;
        }

        return end;
    }

    static int Run(ReadOnlySpan<int> text, int at, byte kind)
    {
        while (at < text.Length && Characters.Kind(text[at]) == kind)
        {
            at++;
        }

        return at;
    }

    // 's 't 're 've 'm 'll 'd; where case is ignored the long s is an s.
    int Contraction(ReadOnlySpan<int> text, int at)
    {
        int one = at + 1 < text.Length ? Fold(text[at + 1]) : 0, two = at + 2 < text.Length ? Fold(text[at + 2]) : 0;
        return one is 's' or 't' or 'm' or 'd' ? 2 : (one, two) is ('r', 'e') or ('v', 'e') or ('l', 'l') ? 3 : 0;
    }

    int Fold(int c) => _gpt2 ? c : c is >= 'A' and <= 'Z' ? c + 32 : c == 0x17F ? 's' : c;
}
