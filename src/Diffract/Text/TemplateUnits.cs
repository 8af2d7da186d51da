namespace Diffract.Text;

/// <summary>
/// Cuts what a template writes into units: a special token (one that the checkpoint lists, or anything like <c>&lt;…&gt;</c> or <c>[…]</c> without white space), else a character. Where two renderings part
/// is a place between units, never inside a token: <c>&lt;|end|&gt;\n&lt;|user|&gt;</c> and <c>&lt;|end|&gt;\n&lt;|endoftext|&gt;</c> share <c>&lt;|end|&gt;\n</c>.
/// </summary>
/// <param name="known">Texts of tokens that the checkpoint lists.</param>
sealed class TemplateUnits(IEnumerable<string> known)
{
    const int Longest = 64;
    readonly string[] _known = [.. known.Where(t => t.Length > 0).OrderByDescending(t => t.Length)];

    /// <summary>Length of the special token at a place, or 0.</summary>
    public int Token(string text, int at)
    {
        if (at >= text.Length)
        {
            return 0;
        }

        foreach (string token in _known)
        {
            if (string.CompareOrdinal(text, at, token, 0, token.Length) == 0)
            {
                return token.Length;
            }
        }

        char close = text[at] == '<' ? '>' : text[at] == '[' ? ']' : '\0';
        for (int i = at + 1; close != '\0' && i < text.Length && i - at < Longest && text[i] != text[at] && !char.IsWhiteSpace(text[i]); i++)
        {
            if (text[i] == close)
            {
                return i - at == 1 ? 0 : i + 1 - at;
            }
        }

        return 0;
    }

    /// <summary>Length of the unit at a place.</summary>
    public int Unit(string text, int at) => Math.Max(1, Token(text, at));

    /// <summary>Length of the beginning that two texts share, in whole units.</summary>
    public int SharedPrefix(string a, string b)
    {
        int at = 0;
        while (at < a.Length && at < b.Length)
        {
            int unit = Unit(a, at);
            if (unit != Unit(b, at) || string.CompareOrdinal(a, at, b, at, unit) != 0)
            {
                break;
            }

            at += unit;
        }

        return at;
    }

    /// <summary>Length of the end that two texts share, in whole units of the first.</summary>
    public int SharedSuffix(string a, string b)
    {
        int shared = 0;
        while (shared < a.Length && shared < b.Length && a[^(shared + 1)] == b[^(shared + 1)])
        {
            shared++;
        }

        int at = 0;
        while (at < a.Length - shared)
        {
            at += Unit(a, at);
        }

        return a.Length - at;
    }

    /// <summary>Length of the mark that ends a turn, at the beginning of what follows the content: white space and a token, or white space and a word; 0 where only white space follows.</summary>
    public int EndMark(string tail)
    {
        int at = 0;
        while (at < tail.Length && char.IsWhiteSpace(tail[at]))
        {
            at++;
        }

        if (Token(tail, at) is var token and > 0)
        {
            return at + token;
        }

        int end = at;
        while (end < tail.Length && !char.IsWhiteSpace(tail[end]) && Token(tail, end) == 0)
        {
            end++;
        }

        return end == at ? 0 : end;
    }
}
