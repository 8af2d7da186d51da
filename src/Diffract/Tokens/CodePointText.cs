namespace Diffract.Tokens;

/// <summary>A text that is cut by code points, as the offsets of tokens count; a lone surrogate is one.</summary>
sealed class CodePointText
{
    readonly string _text;
    readonly int[] _starts;

    public CodePointText(string text)
    {
        _text = text;
        List<int> starts = new(text.Length + 1);
        for (int i = 0; i < text.Length; i += char.IsSurrogatePair(text, i) ? 2 : 1)
        {
            starts.Add(i);
        }

        starts.Add(text.Length);
        _starts = [.. starts];
    }

    /// <summary>Code points start .. end - 1.</summary>
    public string Slice(int start, int end) => _text[_starts[start].._starts[end]];

    /// <summary>From code point <paramref name="start"/> on.</summary>
    public string From(int start) => _text[_starts[start]..];
}
