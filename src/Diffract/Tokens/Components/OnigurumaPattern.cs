// Long because it is one language, read by one parser: cut in two, neither half could be read without the other.
using System.Globalization;
using System.Text;
using Diffract.Runs;

namespace Diffract.Tokens.Components;

/// <summary>
/// An Oniguruma pattern in .NET's language. What the two mean differently is written out (possessive repeats, <c>\w</c>, <c>.</c>, <c>^</c>, <c>$</c>, letters that ignore case); what cannot be is refused by name.
/// Characters beyond the basic plane are matched by stand-ins of their category that the pattern does not name.
/// </summary>
sealed class OnigurumaPattern
{
    const int MaximalDepth = 100;

    const int MaximalLength = 10_000;

    /// <summary>Letters, marks, decimal and letter numbers, connectors, the circled letters and Latin-1's numbers: <c>\w</c>.</summary>
    const string Word = "\\p{L}\\p{M}\\p{Nd}\\p{Nl}\\p{Pc}\\u24B6-\\u24E9\\u00B2\\u00B3\\u00B9\\u00BC-\\u00BE";

    /// <summary>A quantifier's largest count; Oniguruma's own limit is 100,000.</summary>
    const int MaximalCount = 10_000;

    readonly StringBuilder _out = new();
    readonly List<(char First, char Last)> _named = [];
    readonly string _where;
    StandIns _standIns = new([]);
    int _at;
    int _depth;
    bool _ignoreCase;
    char _previousLetter;

    OnigurumaPattern(string pattern, string where) => (Original, _where) = (pattern, where);

    public string Original { get; }

    public string Translation { get; private set; } = "";

    /// <exception cref="DiffractException">The pattern is not valid, or has what is not supported.</exception>
    public static OnigurumaPattern Parse(string pattern, string where)
    {
        OnigurumaPattern result = new(pattern, where);
        if (pattern.Length > MaximalLength)
        {
            throw new DiffractException($"{where}: a pattern has {pattern.Length} characters, wanted at most {MaximalLength}; fetch the file again");
        }

        result.Alternatives();
        if (result._at < pattern.Length)
        {
            throw result.Refuse("an unmatched )");
        }

        result.Translation = result._out.ToString();
        result._standIns = new StandIns(result._named);
        return result;
    }

    /// <summary>A character of the basic plane that the pattern does not name and that fulfils the same classes as a code point beyond it.</summary>
    public char StandIn(int codePoint) => _standIns.For(codePoint) is char standIn ? standIn : throw Refuse($"no room for characters like U+{codePoint:X}");

    char Next => _at < Original.Length ? Original[_at] : '\0';

    bool Ended => _at >= Original.Length;

    bool Take(string text)
    {
        bool found = string.CompareOrdinal(Original, _at, text, 0, text.Length) == 0;
        _at += found ? text.Length : 0;
        return found;
    }

    void Alternatives()
    {
        if (++_depth > MaximalDepth)
        {
            throw Refuse($"groups within groups deeper than {MaximalDepth}");
        }

        bool ignoreCase = _ignoreCase;
        while (!Ended && Next != ')')
        {
            if (Take("|"))
            {
                _out.Append('|');
                _previousLetter = '\0';
                continue;
            }

            int from = _out.Length;
            bool repeats = Atom();
            Quantifiers(from, repeats);
        }

        _ignoreCase = ignoreCase;
        _depth--;
    }

    // One atom; false for what cannot be repeated.
    bool Atom()
    {
        char c = Next;
        char previous = _previousLetter;
        _previousLetter = '\0';
        switch (c)
        {
            case '(':
                return Group();
            case '[':
                _at++;
                _out.Append(Class());
                return true;
            case '.':
                _at++;
                _out.Append("[^\\n]");
                return true;
            case '^':
                _at++;
                _out.Append("(?:\\A|(?<=\\n)(?!\\z))");
                return false;
            case '$':
                _at++;
                _out.Append("(?=\\n|\\z)");
                return false;
            case '*' or '+' or '?':
                throw Refuse($"{c} with nothing to repeat");
            case '\\':
                _at++;
                return Escape();
            default:
                _at++;
                Literal(c, previous);
                return true;
        }
    }

    bool Group()
    {
        _at++;
        if (Take("?#"))
        {
            while (!Ended && Next != ')')
            {
                _at++;
            }

            return Close(false, "");
        }

        string? plain = Take("?:") ? "(?:" : Take("?>") ? "(?>" : null;
        string? look = plain is not null ? null : Take("?=") ? "(?=" : Take("?!") ? "(?!" : Take("?<=") ? "(?<=" : Take("?<!") ? "(?<!" : null;
        if (plain is null && look is null && Next == '?')
        {
            return Options();
        }

        _out.Append(plain ?? look ?? "(?:");
        Alternatives();
        return Close(look is null, ")");
    }

    // (?i), (?-i), (?i:...): the only options that patterns of tokenizers use.
    bool Options()
    {
        bool ignoreCase = _ignoreCase;
        bool on = Take("?i"), off = !on && Take("?-i");
        if (!(on || off) || Next is not (':' or ')'))
        {
            throw Refuse(string.Concat("the group (", Original.AsSpan(_at, Math.Min(3, Original.Length - _at))));
        }

        _ignoreCase = on;
        bool whole = Next == ')';
        _at++;
        if (whole && Original.IndexOf('|', _at) >= 0)
        {
            throw Refuse("(?i) before an alternative");
        }

        if (whole)
        {
            return false;
        }

        _out.Append("(?:");
        Alternatives();
        _ignoreCase = ignoreCase;
        return Close(true, ")");
    }

    bool Close(bool repeats, string with)
    {
        if (!Take(")"))
        {
            throw Refuse("an unmatched (");
        }

        _out.Append(with);
        _previousLetter = '\0';
        return repeats;
    }

    void Quantifiers(int from, bool repeats)
    {
        for (int count = 0; ; count++)
        {
            string? quantifier = null;
            bool braces = false;
            if (Next is '*' or '+' or '?')
            {
                quantifier = Original[_at++].ToString();
            }
            else if (Next == '{')
            {
                quantifier = Braces();
                braces = true;
            }

            if (quantifier is null)
            {
                return;
            }

            if (!repeats)
            {
                throw Refuse($"{quantifier} with nothing to repeat");
            }

            if (count > 0)
            {
                _out.Insert(from, "(?:").Append(')');
            }

            if (count > MaximalDepth)
            {
                throw Refuse("more than a hundred repeats of one another");
            }

            _previousLetter = '\0';
            _out.Append(quantifier);
            if (Next == '?')
            {
                if (braces && !quantifier.Contains(',', StringComparison.Ordinal))
                {
                    throw Refuse($"{quantifier}?");
                }

                _at++;
                _out.Append('?');
            }
            else if (!braces && Take("+"))
            {
                _out.Insert(from, "(?>").Append(')');
            }
        }
    }

    // {n}, {n,}, {n,m}, {,m}; a brace that is none of them would be a letter to Oniguruma.
    string Braces()
    {
        int close = Original.IndexOf('}', _at);
        string[] counts = close < 0 ? [] : Original[(_at + 1)..close].Split(',');
        int low = 0, high = 0;
        bool valid = counts.Length is 1 or 2 && counts.Any(c => c.Length > 0)
            && counts.All(c => c.Length == 0 || int.TryParse(c, NumberStyles.None, CultureInfo.InvariantCulture, out int n) && n <= MaximalCount)
            && (counts[0].Length == 0 || int.TryParse(counts[0], NumberStyles.None, CultureInfo.InvariantCulture, out low))
            && (counts.Length == 1 || counts[1].Length == 0 || int.TryParse(counts[1], NumberStyles.None, CultureInfo.InvariantCulture, out high) && high >= low);
        if (!valid)
        {
            throw Refuse("a { that is no repeat of at most " + MaximalCount.ToString(CultureInfo.InvariantCulture));
        }

        _at = close + 1;
        return counts.Length == 1 ? $"{{{low}}}" : counts[1].Length == 0 ? $"{{{low},}}" : $"{{{low},{high}}}";
    }

    bool Escape()
    {
        char c = Ended ? throw Refuse("a \\ at the end") : Original[_at++];
        switch (c)
        {
            case 'A' or 'z':
                _out.Append('\\').Append(c);
                return false;
            case 'Z':
                _out.Append("(?=\\n?\\z)");
                return false;
            case 'W':
                _out.Append("[^").Append(Word).Append(']');
                return true;
            case 'w':
                _out.Append('[').Append(Word).Append(']');
                return true;
            case 's' or 'S' or 'd' or 'D':
                _out.Append('\\').Append(c);
                return true;
            case 'p' or 'P':
                _out.Append(Property(c));
                return true;
            default:
                Literal(Character(c), '\0');
                return true;
        }
    }

    char Character(char c) => c switch
    {
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'f' => '\f',
        'v' => '\v',
        'a' => '\a',
        'e' => '\u001B',
        'x' when Take("{") => Hex(Original.IndexOf('}', _at) - _at, 1),
        'x' => Hex(2, 0),
        'u' => Hex(4, 0),
        _ when char.IsAsciiLetterOrDigit(c) => throw Refuse($"\\{c}"),
        _ => c,
    };

    char Hex(int digits, int after)
    {
        if (digits is < 1 or > 8 || _at + digits > Original.Length
            || !int.TryParse(Original.AsSpan(_at, digits), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out int value))
        {
            throw Refuse("a \\x or \\u without its digits");
        }

        _at += digits + after;
        return value is >= 0 and < 0x10000 and not (>= 0xD800 and < 0xE000) ? (char)value : throw Refuse("a character beyond U+FFFF");
    }

    string Property(char escape)
    {
        int close = Next == '{' ? Original.IndexOf('}', _at) : -1;
        string name = close > 0 ? Original[(_at + 1)..close] : throw Refuse($"\\{escape} without a name in braces");
        bool negated = escape == 'P';
        if (name.StartsWith('^'))
        {
            (negated, name) = (!negated, name[1..]);
        }

        string? category = name switch
        {
            "Letter" => "L",
            "Mark" => "M",
            "Number" => "N",
            "Punctuation" => "P",
            "Symbol" => "S",
            "Separator" => "Z",
            "Other" => "C",
            "L" or "M" or "N" or "P" or "S" or "Z" or "C" or "Lu" or "Ll" or "Lt" or "Lm" or "Lo" or "Mn" or "Mc" or "Me" or "Nd" or "Nl" or "No" or "Pc" or "Pd" or "Ps" or "Pe" or "Pi" or "Pf"
                or "Po" or "Sm" or "Sc" or "Sk" or "So" or "Zs" or "Zl" or "Zp" or "Cc" or "Cf" or "Co" or "Cn" => name,
            _ => null,
        };
        if (category is null || _ignoreCase)
        {
            throw Refuse($"\\{escape}{{{name}}}{(category is null ? " (general categories are supported)" : " where case is ignored")}");
        }

        _at = close + 1;
        return $"\\{(negated ? 'P' : 'p')}{{{category}}}";
    }

    string Class()
    {
        StringBuilder set = new("[");
        if (Take("^"))
        {
            set.Append('^');
        }

        bool first = true;
        for (; Next != ']' || first; first = false)
        {
            if (Ended || Next == '[' || string.CompareOrdinal(Original, _at, "&&", 0, 2) == 0)
            {
                throw Refuse(Ended ? "an unmatched [" : Next == '&' ? "&& in a class" : $"{Next} in a class (write \\{Next})");
            }

            if (Next == '\\' && _at + 1 < Original.Length && Original[_at + 1] is 's' or 'S' or 'd' or 'D' or 'p' or 'P' or 'w')
            {
                char kind = Original[_at + 1];
                _at += 2;
                set.Append(kind is 'p' or 'P' ? Property(kind) : kind == 'w' ? Word : $"\\{kind}");
                continue;
            }

            char low = ClassCharacter(), high = low;
            if (Next == '-' && _at + 1 < Original.Length && Original[_at + 1] is not (']' or '['))
            {
                _at++;
                high = ClassCharacter();
            }

            Range(set, low, high);
        }

        _at++;
        return set.Append(']').ToString();
    }

    char ClassCharacter()
    {
        char c = Original[_at++];
        return Valid(c == '\\' ? Character(Ended ? throw Refuse("a \\ at the end") : Original[_at++]) : c);
    }

    void Range(StringBuilder set, char low, char high)
    {
        if (high < low)
        {
            throw Refuse("a range that runs backwards");
        }

        _named.Add((low, high));
        set.Append(Code(low)).Append('-').Append(Code(high));
        if (_ignoreCase)
        {
            if (high >= 0x80)
            {
                throw Refuse("a class beyond ASCII where case is ignored");
            }

            for (char c = low; c <= high; c++)
            {
                set.Append(Cases(c));
            }
        }
    }

    void Literal(char c, char previous)
    {
        Valid(c);
        _named.Add((c, c));
        if (!_ignoreCase)
        {
            _out.Append(Code(c));
            return;
        }

        // Oniguruma folds some pairs of letters into one: "ss" is also U+00DF.
        if (c >= 0x80 || (previous, char.ToLowerInvariant(c)) is ('s', 's' or 't') or ('f', 'f' or 'i' or 'l'))
        {
            throw Refuse($"{(previous == '\0' ? "" : previous.ToString())}{c} where case is ignored");
        }

        _previousLetter = char.ToLowerInvariant(c);
        _out.Append('[').Append(Cases(c)).Append(']');
    }

    // The characters that fold to the same one: with K also the Kelvin sign, with S the long s.
    static string Cases(char c) => char.ToLowerInvariant(c) switch
    {
        'k' => "kK\u212A",
        's' => "sS\u017F",
        >= 'a' and <= 'z' and char low => $"{low}{char.ToUpperInvariant(low)}",
        _ => Code(c),
    };

    char Valid(char c) => char.IsSurrogate(c) ? throw Refuse("a character beyond U+FFFF") : c;

    static string Code(char c) => $"\\u{(int)c:X4}";

    DiffractException Refuse(string what) => new($"{_where}: the pattern {Original} has {what}, which is not supported; use a tokenizer with another split pattern");
}
