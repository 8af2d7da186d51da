// Long because the lexer of one language is read in one piece.
using System.Globalization;
using System.Numerics;
using System.Text;

namespace Diffract.Formats.Jinja;

/// <summary>A token: the kinds are jinja2's names, an operator's kind is the operator.</summary>
readonly record struct Token(string Kind, string Text, int Line, object? Value = null)
{
    public string Described => Kind == "name" ? Text : Describe(Kind);

    public bool Is(string name) => Kind == "name" && Text == name;

    public static string Describe(string kind) => kind switch
    {
        "block_begin" => "begin of statement block",
        "block_end" => "end of statement block",
        "variable_begin" => "begin of print statement",
        "variable_end" => "end of print statement",
        "data" => "template data / text",
        "eof" => "end of template",
        _ => kind,
    };
}

/// <summary>Cuts a template into tokens, with trim_blocks and lstrip_blocks on (jinja2's lexer).</summary>
sealed class Lexer
{
    static readonly string[] Operators = ["//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[", "]", "(", ")", "{", "}", ">", "<", "=", ".", ":", "|", ",", ";"];
    readonly string _s;
    readonly List<Token> _tokens = [];
    readonly Stack<char> _open = new();
    int _at;
    int _line = 1;
    bool _lineStarting = true;

    Lexer(string source) => _s = source;

    public static List<Token> Read(string source)
    {
        string text = Newlines(source);
        return new Lexer(text.EndsWith('\n') ? text[..^1] : text).Run();
    }

    static string Newlines(string text) => text.Replace("\r\n", "\n", StringComparison.Ordinal).Replace('\r', '\n');

    List<Token> Run()
    {
        while (_at < _s.Length)
        {
            int tag = NextTag();
            if (tag < 0)
            {
                Data(_s[_at..]);
                break;
            }

            Tag(tag);
        }

        Add("eof", "");
        return _tokens;
    }

    int NextTag()
    {
        for (int i = _s.IndexOf('{', _at); i >= 0 && i + 1 < _s.Length; i = _s.IndexOf('{', i + 1))
        {
            if (_s[i + 1] is '%' or '{' or '#')
            {
                return i;
            }
        }

        return -1;
    }

    void Tag(int tag)
    {
        string text = _s[_at..tag];
        char kind = _s[tag + 1];
        int after = tag + 2;
        char sign = after < _s.Length && _s[after] is '-' or '+' ? _s[after++] : ' ';
        Data(Stripped(text, sign, kind != '{'));
        _line += text.Count(c => c == '\n');
        _at = after;
        _lineStarting = false;
        if (kind == '#')
        {
            Comment();
        }
        else if (kind == '{')
        {
            Inside("variable_begin", "variable_end", "}}");
        }
        else if (!Raw())
        {
            Inside("block_begin", "block_end", "%}");
        }
    }

    string Stripped(string text, char sign, bool lstrip)
    {
        if (sign == '-')
        {
            return Strings.Strip(text, null, false, true);
        }

        int line = text.LastIndexOf('\n') + 1;
        return sign == ' ' && lstrip && (line > 0 || _lineStarting) && text.AsSpan(line).Length > 0 && text.Skip(line).All(Strings.IsSpace) ? text[..line] : text;
    }

    void Data(string text)
    {
        if (text.Length > 0)
        {
            Add("data", text);
        }
    }

    void Comment()
    {
        int end = _s.IndexOf("#}", _at, StringComparison.Ordinal);
        if (end < 0)
        {
            throw JinjaException.Syntax("Missing end of comment tag");
        }

        // The sign may be the one that opened the comment only when there is room for both.
        char sign = end > _at && _s[end - 1] is '-' or '+' ? _s[end - 1] : ' ';
        int from = _at;
        _at = end + 2;
        Trim(sign);
        _line += _s.AsSpan(from, _at - from).Count('\n');
    }

    void Trim(char sign)
    {
        int from = _at;
        if (sign == '-')
        {
            SkipSpaces();
        }
        else if (sign == ' ' && _at < _s.Length && _s[_at] == '\n')
        {
            _at++;
        }

        _lineStarting = _at > from && _s[_at - 1] == '\n';
    }

    void SkipSpaces()
    {
        while (_at < _s.Length && Strings.IsSpace(_s[_at]))
        {
            _at++;
        }
    }

    bool Raw()
    {
        if (Word(_at, "raw", out int end, out char sign) && sign != '+')
        {
            _at = end;
            _lineStarting = false;
            if (sign == '-')
            {
                Trim('-');
            }

            for (int i = _s.IndexOf("{%", _at, StringComparison.Ordinal); i >= 0; i = _s.IndexOf("{%", i + 1, StringComparison.Ordinal))
            {
                int word = i + 2;
                char open = word < _s.Length && _s[word] is '-' or '+' ? _s[word++] : ' ';
                if (Word(word, "endraw", out int after, out char close))
                {
                    Data(Stripped(_s[_at..i], open, true));
                    _at = after;
                    Trim(close);
                    return true;
                }
            }

            throw JinjaException.Syntax("Missing end of raw directive");
        }

        return false;
    }

    bool Word(int at, string word, out int end, out char sign)
    {
        (end, sign) = (at, ' ');
        while (end < _s.Length && Strings.IsSpace(_s[end]))
        {
            end++;
        }

        if (string.CompareOrdinal(_s, end, word, 0, word.Length) != 0)
        {
            return false;
        }

        end += word.Length;
        while (end < _s.Length && Strings.IsSpace(_s[end]))
        {
            end++;
        }

        if (end < _s.Length && _s[end] is '-' or '+')
        {
            sign = _s[end++];
        }

        bool closed = string.CompareOrdinal(_s, end, "%}", 0, 2) == 0;
        end += 2;
        return closed;
    }

    void Inside(string begin, string end, string close)
    {
        Add(begin, "");
        _open.Clear();
        while (_at < _s.Length)
        {
            if (_open.Count == 0)
            {
                char sign = _s[_at] == '-' || (_s[_at] == '+' && close == "%}") ? _s[_at] : ' ';
                if (string.CompareOrdinal(_s, _at + (sign == ' ' ? 0 : 1), close, 0, 2) == 0)
                {
                    Add(end, "");
                    _at += sign == ' ' ? 2 : 3;
                    int from = _at;
                    Trim(close == "}}" && sign == ' ' ? '+' : sign);
                    _line += _s.AsSpan(from, _at - from).Count('\n');
                    return;
                }
            }

            if (Strings.IsSpace(_s[_at]))
            {
                _line += _s[_at++] == '\n' ? 1 : 0;
            }
            else if (!Number() && !Name() && !Quoted())
            {
                Operator();
            }
        }
    }

    bool Name()
    {
        int end = _at;
        while (end < _s.Length && (char.IsLetterOrDigit(_s[end]) || _s[end] == '_'))
        {
            end++;
        }

        if (end == _at)
        {
            return false;
        }

        Add("name", _s[_at..end]);
        _at = end;
        return true;
    }

    // Digits with single underscores between them.
    int Digits(int at)
    {
        while (at < _s.Length && (char.IsAsciiDigit(_s[at]) || (_s[at] == '_' && at + 1 < _s.Length && char.IsAsciiDigit(_s[at + 1]) && char.IsAsciiDigit(_s[at - 1]))))
        {
            at++;
        }

        return at;
    }

    bool Number()
    {
        if (!char.IsAsciiDigit(_s[_at]))
        {
            return false;
        }

        int end = Digits(_at), whole = end;
        bool real = false;
        if (_at == 0 || _s[_at - 1] != '.')
        {
            if (end + 1 < _s.Length && _s[end] == '.' && char.IsAsciiDigit(_s[end + 1]))
            {
                (end, real) = (Digits(end + 1), true);
            }

            int exponent = end < _s.Length && _s[end] is 'e' or 'E' ? end + 1 : -1;
            exponent += exponent > 0 && exponent < _s.Length && _s[exponent] is '+' or '-' ? 1 : 0;
            if (exponent > 0 && exponent < _s.Length && char.IsAsciiDigit(_s[exponent]))
            {
                (end, real) = (Digits(exponent), true);
            }
        }

        if (real)
        {
            string text = _s[_at..end].Replace("_", "", StringComparison.Ordinal);
            Add("float", text, double.Parse(text, CultureInfo.InvariantCulture));
            _at = end;
            return true;
        }

        if (_s[_at] == '0' && _at + 1 < _s.Length && char.ToLowerInvariant(_s[_at + 1]) is 'x' or 'b' or 'o')
        {
            throw JinjaException.Unsupported("integers that are not decimal");
        }

        // A leading zero is a number by itself.
        end = _s[_at] == '0' ? _at + _s.AsSpan(_at, whole - _at).IndexOfAnyExcept('0', '_') is int zeros && zeros >= 0 ? _at + Math.Max(1, _s.AsSpan(_at, whole - _at).IndexOfAnyExcept('0', '_')) : whole : whole;
        string digits = _s[_at..end].Replace("_", "", StringComparison.Ordinal);
        if (digits.Length > Numbers.MaxDigits)
        {
            throw JinjaException.Value($"Exceeds the limit ({Numbers.MaxDigits} digits) for integer string conversion");
        }

        Add("integer", digits, BigInteger.Parse(digits, CultureInfo.InvariantCulture));
        _at = end;
        return true;
    }

    bool Quoted()
    {
        char quote = _s[_at];
        if (quote is not ('\'' or '"'))
        {
            return false;
        }

        int end = _at + 1;
        while (end < _s.Length && _s[end] != quote)
        {
            end += _s[end] == '\\' ? 2 : 1;
        }

        if (end >= _s.Length)
        {
            return false;
        }

        string inner = _s[(_at + 1)..end];
        Add("string", inner, Unescape(inner));
        _line += inner.Count(c => c == '\n');
        _at = end + 1;
        return true;
    }

    void Operator()
    {
        string? found = Operators.FirstOrDefault(o => string.CompareOrdinal(_s, _at, o, 0, o.Length) == 0);
        if (found is null)
        {
            throw JinjaException.Syntax($"unexpected char {Printing.Quote(char.IsSurrogate(_s[_at]) && _at + 1 < _s.Length ? _s[_at..(_at + 2)] : _s[_at].ToString())} at {_at}");
        }

        if (found is "(" or "[" or "{")
        {
            _open.Push(found == "(" ? ')' : found == "[" ? ']' : '}');
        }
        else if (found is ")" or "]" or "}")
        {
            if (!_open.TryPop(out char expected))
            {
                throw JinjaException.Syntax($"unexpected '{found}'");
            }

            if (expected != found[0])
            {
                throw JinjaException.Syntax($"unexpected '{found}', expected '{expected}'");
            }
        }

        Add(found, found);
        _at += found.Length;
    }

    /// <summary>Python's escapes in a string literal; what is none keeps its backslash.</summary>
    static string Unescape(string text)
    {
        if (!text.Contains('\\', StringComparison.Ordinal))
        {
            return text;
        }

        StringBuilder made = new();
        for (int i = 0; i < text.Length; i++)
        {
            if (text[i] != '\\')
            {
                made.Append(text[i]);
                continue;
            }

            char c = text[++i];
            int simple = "\n\\'\"abfnrtv".IndexOf(c, StringComparison.Ordinal);
            if (simple >= 0)
            {
                made.Append(simple == 0 ? "" : "\0\\'\"\a\b\f\n\r\t\v"[simple].ToString());
            }
            else if (c is >= '0' and <= '7')
            {
                int end = i;
                while (end < text.Length && end < i + 3 && text[end] is >= '0' and <= '7')
                {
                    end++;
                }

                made.Append((char)Convert.ToInt32(text[i..end], 8));
                i = end - 1;
            }
            else if (c is 'x' or 'u' or 'U')
            {
                i += Hex(text, i, c == 'x' ? 2 : c == 'u' ? 4 : 8, made);
            }
            else if (c == 'N')
            {
                throw JinjaException.Unsupported("characters by name (\\N)");
            }
            else
            {
                made.Append('\\').Append(c);
            }
        }

        return made.ToString();
    }

    static int Hex(string text, int at, int digits, StringBuilder made)
    {
        string hex = text[(at + 1)..Math.Min(text.Length, at + 1 + digits)];
        if (hex.Length < digits || !hex.All(char.IsAsciiHexDigit))
        {
            throw JinjaException.Syntax($"truncated \\{text[at]}{(digits == 2 ? "XX" : digits == 4 ? "XXXX" : "XXXXXXXX")} escape");
        }

        uint point = uint.Parse(hex, NumberStyles.HexNumber, CultureInfo.InvariantCulture);
        made.Append(point < 0x10000 ? ((char)point).ToString() : point < 0x110000 ? char.ConvertFromUtf32((int)point) : throw JinjaException.Syntax("illegal Unicode character"));
        return digits;
    }

    void Add(string kind, string text, object? value = null) => _tokens.Add(new Token(kind, text, _line, value));
}
