using System.Globalization;
using System.Text;

namespace Diffract.Formats.Jinja;

/// <summary>What Python's strings can do.</summary>
static class Strings
{
    public static bool IsSpace(char c) => char.IsWhiteSpace(c) || c is >= '\u001c' and <= '\u001f';

    public static string Strip(string text, string? characters, bool left, bool right)
    {
        // Code points outside the base plane are stripped whole.
        HashSet<string>? set = characters is null ? null : [.. CodePoints.Each(characters)];
        int start = 0, end = text.Length;
        while (left && start < end && Strips(text[start..Math.Min(end, start + (char.IsHighSurrogate(text[start]) ? 2 : 1))], set) is var length and > 0)
        {
            start += length;
        }

        while (right && end > start && Strips(text[Math.Max(start, end - (char.IsLowSurrogate(text[end - 1]) ? 2 : 1))..end], set) is var length and > 0)
        {
            end -= length;
        }

        return text[start..end];
    }

    static int Strips(string point, HashSet<string>? set) => (set is null ? IsSpace(point[0]) : set.Contains(point)) ? point.Length : 0;

    public static string Upper(string text)
    {
        StringBuilder made = new();
        foreach (string point in CodePoints.Each(text))
        {
            made.Append(SpecialCases.Upper.GetValueOrDefault(point[0]) ?? point.ToUpperInvariant());
        }

        return made.ToString();
    }

    public static string Lower(string text)
    {
        StringBuilder made = new(text.Length);
        for (int i = 0; i < text.Length; i++)
        {
            bool pair = i + 1 < text.Length && char.IsSurrogatePair(text[i], text[i + 1]);
            made.Append(text[i] switch
            {
                '\u0130' => "i\u0307",
                '\u03a3' => Final(text, i) ? "\u03c2" : "\u03c3",
                '\u212a' => "k",
                '\u212b' => "\u00e5",
                '\u2126' => "\u03c9",
                _ => pair ? text.Substring(i++, 2).ToLowerInvariant() : char.ToLowerInvariant(text[i]).ToString(),
            });
        }

        return made.ToString();
    }

    // A sigma ends a word when a letter stands before it and none after.
    static bool Final(string text, int at)
    {
        int before = at - 1, after = at + 1;
        while (before >= 0 && Ignored(text[before]))
        {
            before--;
        }

        while (after < text.Length && Ignored(text[after]))
        {
            after++;
        }

        return before >= 0 && char.IsLetter(text[before]) && (after == text.Length || !char.IsLetter(text[after]));
    }

    static bool Ignored(char c) => c is '\'' or '.' or ':' or '\u00ad' or '\u2019' or '\u00b7' || char.GetUnicodeCategory(c) is UnicodeCategory.NonSpacingMark or UnicodeCategory.Format;

    static string TitleOf(string point) => SpecialCases.Title.GetValueOrDefault(point[0]) ?? Upper(point);

    public static string Capitalize(string text)
    {
        int first = CodePoints.Offset(text, 1);
        return first > 0 ? TitleOf(text[..first]) + Lower(text[first..]) : text;
    }

    public static string Title(string text)
    {
        StringBuilder made = new();
        bool inWord = false;
        foreach (string point in CodePoints.Each(text))
        {
            bool cased = Upper(point) != point || Lower(point) != point;
            made.Append(!cased ? point : inWord ? Lower(point) : TitleOf(point));
            inWord = cased;
        }

        return made.ToString();
    }

    public static string Swapped(string text) => string.Concat(CodePoints.Each(text).Select(p => Upper(p) != p ? Upper(p) : Lower(p)));

    /// <summary><c>isupper</c> or <c>islower</c>.</summary>
    public static bool IsCase(string text, bool upper)
    {
        bool any = false;
        foreach (string point in CodePoints.Each(text))
        {
            bool isUpper = Lower(point) != point, isLower = Upper(point) != point;
            if (upper ? isLower : isUpper)
            {
                return false;
            }

            any |= upper ? isUpper : isLower;
        }

        return any;
    }

    public static bool All(string text, Func<UnicodeCategory, bool> test) => text.Length > 0 && CodePoints.Each(text).All(p => test(CharUnicodeInfo.GetUnicodeCategory(p, 0)));

    public static bool IsLetter(UnicodeCategory c) => c is UnicodeCategory.UppercaseLetter or UnicodeCategory.LowercaseLetter or UnicodeCategory.TitlecaseLetter or UnicodeCategory.ModifierLetter or UnicodeCategory.OtherLetter;

    public static bool IsDigits(string text) => text.Length > 0 && CodePoints.Each(text).All(p => CharUnicodeInfo.GetDigitValue(p, 0) >= 0);

    public static List<string> Lines(string text, bool keepEnds = false)
    {
        List<string> lines = [];
        int start = 0;
        for (int i = 0; i < text.Length; i++)
        {
            if (text[i] is '\n' or '\r' or '\v' or '\f' or '\u001c' or '\u001d' or '\u001e' or '\u0085' or '\u2028' or '\u2029')
            {
                int end = i;
                i += text[i] == '\r' && i + 1 < text.Length && text[i + 1] == '\n' ? 1 : 0;
                lines.Add(text[start..(keepEnds ? i + 1 : end)]);
                start = i + 1;
            }
        }

        if (start < text.Length)
        {
            lines.Add(text[start..]);
        }

        return lines;
    }

    /// <summary><c>split</c> and <c>rsplit</c>; without a separator at white space.</summary>
    public static List<string> Split(string text, string? separator, int limit, bool fromRight)
    {
        List<string> parts = [];
        if (separator is { Length: 0 })
        {
            throw JinjaException.Value("empty separator");
        }

        string rest = separator is null ? Strip(text, null, !fromRight, fromRight) : text;
        while (limit != 0 && (separator is not null || rest.Length > 0))
        {
            int at = separator is not null ? fromRight ? rest.LastIndexOf(separator, StringComparison.Ordinal) : rest.IndexOf(separator, StringComparison.Ordinal) : SpaceIn(rest, fromRight);
            if (at < 0)
            {
                break;
            }

            int length = separator?.Length ?? 1;
            parts.Add(fromRight ? rest[(at + length)..] : rest[..at]);
            rest = fromRight ? rest[..at] : rest[(at + length)..];
            rest = separator is null ? Strip(rest, null, !fromRight, fromRight) : rest;
            limit--;
        }

        if (separator is not null || rest.Length > 0)
        {
            parts.Add(separator is null && limit != 0 ? Strip(rest, null, true, true) : rest);
        }

        if (fromRight)
        {
            parts.Reverse();
        }

        return parts;
    }

    static int SpaceIn(string text, bool fromRight)
    {
        for (int i = fromRight ? text.Length - 1 : 0; i >= 0 && i < text.Length; i += fromRight ? -1 : 1)
        {
            if (IsSpace(text[i]))
            {
                return i;
            }
        }

        return -1;
    }

    public static string Replace(string text, string old, string made, int count, Renderer r)
    {
        StringBuilder result = new();
        int at = 0;
        while (count != 0)
        {
            r.Step();
            int found = text.IndexOf(old, at, StringComparison.Ordinal);
            int next = old.Length > 0 ? found : at;
            if (found < 0)
            {
                break;
            }

            r.Charge(made.Length + (next - at));
            result.Append(text, at, next - at).Append(made);
            at = next + old.Length;
            count--;
            if (old.Length == 0)
            {
                if (at >= text.Length)
                {
                    break;
                }

                int step = CodePoints.Offset(text[at..Math.Min(text.Length, at + 2)], 1);
                result.Append(text, at, step);
                at += step;
            }
        }

        return r.Made(result.Append(text, at, text.Length - at).ToString());
    }

    public static int Occurrences(string text, string part)
    {
        if (part.Length == 0)
        {
            return CodePoints.Count(text) + 1;
        }

        int count = 0;
        for (int at = text.IndexOf(part, StringComparison.Ordinal); at >= 0; at = text.IndexOf(part, at + part.Length, StringComparison.Ordinal))
        {
            count++;
        }

        return count;
    }

    public static string Padded(string text, int width, char fill, double leftShare, Renderer r)
    {
        int missing = width - CodePoints.Count(text);
        if (missing <= 0)
        {
            return text;
        }

        r.Charge(width);
        int left = leftShare == 0.5 ? missing / 2 + (missing & width & 1) : leftShare > 0 ? missing : 0;
        return new string(fill, left) + text + new string(fill, missing - left);
    }

    public static PyList List(IEnumerable<string> parts, Renderer r)
    {
        List<object?> list = [.. parts];
        r.Charge(list.Sum(p => 1.0 + ((string)p!).Length));
        return new PyList(list);
    }
}
