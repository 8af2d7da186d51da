using System.Globalization;
using System.Numerics;
using System.Text;

namespace Diffract.Formats.Jinja;

/// <summary>Python's <c>%</c> on strings and <c>str.format</c>.</summary>
static class Formatting
{
    public static string Percent(string format, object? values, Renderer r)
    {
        object?[] items = values is PyTuple tuple ? tuple.Items : [values];
        int used = 0;
        bool named = false;
        StringBuilder made = new();
        for (int i = 0; i < format.Length; i++)
        {
            if (format[i] != '%')
            {
                made.Append(format[i]);
                continue;
            }

            object? item = Arguments.Absent;
            if (++i < format.Length && format[i] == '(')
            {
                int end = format.IndexOf(')', i);
                item = end > 0 && values is PyDict dict ? dict.TryGet(format[(i + 1)..end], out object? found, r) ? found : throw new JinjaException("KeyError", Printing.Quote(format[(i + 1)..end])) : throw JinjaException.Type("format requires a mapping");
                (i, named) = (end + 1, true);
            }

            int flags = i;
            while (i < format.Length && "#0- +".Contains(format[i], StringComparison.Ordinal))
            {
                i++;
            }

            string flag = format[flags..i];
            int width = Number(format, ref i) ?? 0;
            int? precision = null;
            if (i < format.Length && format[i] == '.')
            {
                i++;
                precision = Number(format, ref i) ?? 0;
            }

            if (i >= format.Length)
            {
                throw JinjaException.Value("incomplete format");
            }

            if (format[i] == '%')
            {
                made.Append('%');
                continue;
            }

            if (item == Arguments.Absent)
            {
                item = used < items.Length ? items[used++] : throw JinjaException.Type("not enough arguments for format string");
            }

            made.Append(Padded(One(format[i], item, precision, flag, r), width, flag.Contains('-', StringComparison.Ordinal) ? '<' : '>', flag.Contains('0', StringComparison.Ordinal) && format[i] is not ('s' or 'r') ? '0' : ' ', r));
        }

        return used < items.Length && !named && values is not PyDict ? throw JinjaException.Type("not all arguments converted during string formatting") : r.Made(made.ToString());
    }

    static int? Number(string text, ref int at)
    {
        int start = at;
        while (at < text.Length && char.IsAsciiDigit(text[at]))
        {
            at++;
        }

        return at == start ? null : int.TryParse(text[start..at], CultureInfo.InvariantCulture, out int number) ? number : throw JinjaException.Value("width too big");
    }

    static string One(char kind, object? item, int? precision, string flag, Renderer r)
    {
        string text;
        switch (kind)
        {
            case 's' or 'r':
                text = r.Made(kind == 's' ? Printing.Str(item, r) : Printing.Repr(item, r));
                return precision is { } cut ? CodePoints.Part(text, 0, Math.Min(cut, text.Length)) : text;
            case 'd' or 'i' or 'x' or 'X':
                BigInteger whole = item is double d ? new BigInteger(d) : Numbers.IsNumber(item) ? Numbers.ToInt(item) : throw JinjaException.Type($"%{kind} format: a {(kind is 'x' or 'X' ? "integer" : "real number")} is required, not {Values.TypeName(item)}");
                text = kind is 'd' or 'i' ? Numbers.Print(BigInteger.Abs(whole)) : Hex(BigInteger.Abs(whole), kind);
                return (whole.Sign < 0 ? "-" : flag.Contains('+', StringComparison.Ordinal) ? "+" : "") + text;
            case 'f' or 'F':
                double real = Numbers.IsNumber(item) ? Numbers.ToDouble(item) : throw JinjaException.Type($"must be real number, not {Values.TypeName(item)}");
                return (real >= 0 && flag.Contains('+', StringComparison.Ordinal) ? "+" : "") + Fixed(real, precision ?? 6, r);
            default:
                throw JinjaException.Unsupported($"the format %{kind}");
        }
    }

    static string Hex(BigInteger value, char kind) => value.ToString(kind.ToString(), CultureInfo.InvariantCulture).TrimStart('0') is { Length: > 0 } text ? text : "0";

    static string Fixed(double value, int precision, Renderer r)
    {
        r.Charge(precision);
        return double.IsFinite(value) ? value.ToString("F" + Math.Min(precision, 999_999), CultureInfo.InvariantCulture) : Numbers.Print(value);
    }

    static string Padded(string text, int width, char align, char fill, Renderer r)
    {
        if (fill == '0' && align == '>' && text.Length > 0 && text[0] is '-' or '+')
        {
            return text[0] + Strings.Padded(text[1..], width - 1, '0', 1, r);
        }

        return align == '^' ? Centred(text, width, fill, r) : Strings.Padded(text, width, fill, align == '>' ? 1 : 0, r);
    }

    static string Centred(string text, int width, char fill, Renderer r)
    {
        int missing = Math.Max(0, width - CodePoints.Count(text));
        r.Charge(missing);
        return new string(fill, missing / 2) + text + new string(fill, missing - missing / 2);
    }

    public static string Braces(string format, Arguments arguments, Renderer r)
    {
        StringBuilder made = new();
        int automatic = 0;
        for (int i = 0; i < format.Length; i++)
        {
            char c = format[i];
            if (c is '{' or '}' && i + 1 < format.Length && format[i + 1] == c)
            {
                made.Append(c);
                i++;
            }
            else if (c == '}')
            {
                throw JinjaException.Value("Single '}' encountered in format string");
            }
            else if (c == '{')
            {
                int end = format.IndexOf('}', i);
                if (end < 0)
                {
                    throw JinjaException.Value(i + 1 == format.Length ? "Single '{' encountered in format string" : "expected '}' before end of string");
                }

                made.Append(Field(format[(i + 1)..end], arguments, ref automatic, r));
                i = end;
            }
            else
            {
                made.Append(c);
            }
        }

        return r.Made(made.ToString());
    }

    static string Field(string field, Arguments arguments, ref int automatic, Renderer r)
    {
        int colon = field.IndexOf(':', StringComparison.Ordinal);
        string spec = colon < 0 ? "" : field[(colon + 1)..], name = colon < 0 ? field : field[..colon];
        bool repr = name.EndsWith("!r", StringComparison.Ordinal), str = name.EndsWith("!s", StringComparison.Ordinal);
        name = repr || str ? name[..^2] : name;
        int path = name.IndexOfAny(['.', '[']);
        if (path >= 0 || spec.Contains('{', StringComparison.Ordinal) || name.Contains('!', StringComparison.Ordinal))
        {
            throw JinjaException.Unsupported($"the field {{{field}}} of format");
        }

        object? value;
        if (name.Length == 0 || name.All(char.IsAsciiDigit))
        {
            int at = name.Length == 0 ? automatic++ : int.TryParse(name, CultureInfo.InvariantCulture, out int index) ? index : int.MaxValue;
            value = at < arguments.Positional.Count ? arguments.Positional[at] : throw new JinjaException("IndexError", $"Replacement index {at} out of range for positional args tuple");
        }
        else
        {
            int at = arguments.Keywords.FindIndex(k => k.Name == name);
            value = at >= 0 ? arguments.Keywords[at].Value : throw new JinjaException("KeyError", Printing.Quote(name));
        }

        value = repr ? Printing.Repr(value, r) : str ? Printing.Str(value, r) : value;
        return r.Made(spec.Length == 0 ? Printing.Str(value, r) : Spec(value, spec, r));
    }

    static string Spec(object? value, string spec, Renderer r)
    {
        int at = 0;
        char fill = ' ', align = '\0', sign = '-';
        if (spec.Length > 1 && spec[1] is '<' or '>' or '^')
        {
            (fill, align, at) = (spec[0], spec[1], 2);
        }
        else if (spec[0] is '<' or '>' or '^')
        {
            (align, at) = (spec[0], 1);
        }

        if (at < spec.Length && spec[at] is '+' or '-')
        {
            sign = spec[at++];
        }

        if (at < spec.Length && spec[at] == '0')
        {
            fill = '0';
        }

        int width = Number(spec, ref at) ?? 0;
        bool commas = at < spec.Length && spec[at] == ',';
        at += commas ? 1 : 0;
        int? precision = null;
        if (at < spec.Length && spec[at] == '.')
        {
            at++;
            precision = Number(spec, ref at);
        }

        string kind = spec[at..];
        string text = (kind, value) switch
        {
            ("" or "s", string s) => precision is { } cut ? CodePoints.Part(s, 0, Math.Min(cut, s.Length)) : s,
            ("" or "d", BigInteger i) when precision is null => commas ? i.ToString("N0", CultureInfo.InvariantCulture) : Numbers.Print(i),
            ("x" or "X", BigInteger { Sign: >= 0 } i) => Hex(i, kind[0]),
            ("f", BigInteger or double or bool) => commas ? Numbers.ToDouble(value).ToString("N" + Math.Min(precision ?? 6, 999), CultureInfo.InvariantCulture) : Fixed(Numbers.ToDouble(value), precision ?? 6, r),
            _ => throw JinjaException.Unsupported($"the format '{spec}' of {Values.TypeName(value)}"),
        };
        text = sign == '+' && value is not string && !text.StartsWith('-') ? "+" + text : text;
        return Padded(text, width, align == '\0' ? value is string ? '<' : '>' : align, fill, r);
    }
}
