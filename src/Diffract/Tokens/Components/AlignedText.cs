using System.Text;

namespace Diffract.Tokens.Components;

/// <summary>
/// A text as code points, each with the place of the original code point that it stands for: a token over [i, j) covers [At(i), At(j-1) + 1) of the original.
/// </summary>
sealed class AlignedText
{
    readonly int[]? _at;

    /// <param name="codePoints">The text; only the first <paramref name="length"/> count.</param>
    /// <param name="length">Code points of the text.</param>
    /// <param name="at">For each code point its place in the original; null where the text is the original.</param>
    public AlignedText(int[] codePoints, int length, int[]? at = null) => (CodePoints, Length, _at) = (codePoints, length, at);

    public int[] CodePoints { get; }

    public int Length { get; }

    /// <summary>Whether each code point stands for itself.</summary>
    public bool IsOriginal => _at is null;

    public int At(int index) => _at is null ? index : _at[index];

    /// <summary>The original's range of [start, end), which is not empty.</summary>
    public (int Start, int End) Range(int start, int end) => _at is null ? (start, end) : (_at[start], _at[end - 1] + 1);

    public ReadOnlySpan<int> Span(int start, int end) => CodePoints.AsSpan(start, end - start);

    /// <summary>A text's code points; half a surrogate pair becomes U+FFFD.</summary>
    public static AlignedText Of(string text)
    {
        int[] result = new int[text.Length];
        int n = 0;
        for (int i = 0; i < text.Length; i++)
        {
            char c = text[i];
            if (!char.IsSurrogate(c))
            {
                result[n++] = c;
            }
            else if (char.IsHighSurrogate(c) && i + 1 < text.Length && char.IsLowSurrogate(text[i + 1]))
            {
                result[n++] = char.ConvertToUtf32(c, text[++i]);
            }
            else
            {
                result[n++] = Rune.ReplacementChar.Value;
            }
        }

        return new AlignedText(result, n);
    }

    public static string Join(ReadOnlySpan<int> codePoints)
    {
        StringBuilder text = new(codePoints.Length);
        foreach (int c in codePoints)
        {
            if (c < 0x10000)
            {
                text.Append((char)c);
            }
            else
            {
                text.Append(char.ConvertFromUtf32(c));
            }
        }

        return text.ToString();
    }
}

/// <summary>Grows an <see cref="AlignedText"/>.</summary>
sealed class AlignedTextBuilder(int capacity)
{
    int[] _codePoints = new int[Math.Max(capacity, 16)];
    int[] _at = new int[Math.Max(capacity, 16)];

    public int Length { get; private set; }

    public void Add(int codePoint, int at)
    {
        if (Length == _codePoints.Length)
        {
            Array.Resize(ref _codePoints, Length * 2);
            Array.Resize(ref _at, Length * 2);
        }

        (_codePoints[Length], _at[Length]) = (codePoint, at);
        Length++;
    }

    public AlignedText Build() => new(_codePoints, Length, _at);
}
