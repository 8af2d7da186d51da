using System.Text;

namespace Diffract.Formats.Jinja;

/// <summary>Strings as Python counts them: in code points. A lone surrogate is one.</summary>
static class CodePoints
{
    public static int Count(string text)
    {
        int count = text.Length;
        for (int i = 1; i < text.Length; i++)
        {
            count -= char.IsSurrogatePair(text[i - 1], text[i]) ? 1 : 0;
        }

        return count;
    }

    public static IEnumerable<string> Each(string text)
    {
        for (int i = 0; i < text.Length; i++)
        {
            bool pair = i + 1 < text.Length && char.IsSurrogatePair(text[i], text[i + 1]);
            yield return pair ? text.Substring(i++, 2) : text[i].ToString();
        }
    }

    /// <summary>The place of code point <paramref name="index"/>, at most the end.</summary>
    public static int Offset(string text, int index)
    {
        int at = 0;
        for (; index > 0 && at < text.Length; index--)
        {
            at += at + 1 < text.Length && char.IsSurrogatePair(text[at], text[at + 1]) ? 2 : 1;
        }

        return at;
    }

    /// <summary>Code points <paramref name="start"/> to <paramref name="end"/>.</summary>
    public static string Part(string text, int start, int end)
    {
        int from = Offset(text, start);
        return text.Substring(from, Offset(text[from..], end - start));
    }

    /// <summary>Order by code point: UTF-16 puts the private area behind the supplementary planes.</summary>
    public static int Compare(string a, string b)
    {
        for (int i = 0; i < Math.Min(a.Length, b.Length); i++)
        {
            if (a[i] != b[i])
            {
                bool wideA = char.IsSurrogate(a[i]), wideB = char.IsSurrogate(b[i]);
                return wideA == wideB ? a[i] - b[i] : wideA ? 1 : -1;
            }
        }

        return a.Length - b.Length;
    }

    public static string Reversed(string text)
    {
        StringBuilder made = new();
        foreach (string point in Each(text).Reverse())
        {
            made.Append(point);
        }

        return made.ToString();
    }
}
