using System.Globalization;
using System.Numerics;

namespace Diffract.Formats.Jinja;

/// <summary>jinja2's filters; those over sequences are in the other half.</summary>
static partial class Filters
{
    static readonly HashSet<string> Names =
    [
        "abs", "attr", "batch", "capitalize", "center", "count", "d", "default", "dictsort", "e", "escape", "filesizeformat", "first", "float", "forceescape", "format", "groupby", "indent", "int", "join", "last",
        "length", "list", "lower", "items", "map", "min", "max", "pprint", "random", "reject", "rejectattr", "replace", "reverse", "round", "safe", "select", "selectattr", "slice", "sort", "string", "striptags",
        "sum", "title", "trim", "truncate", "unique", "upper", "urlencode", "urlize", "wordcount", "wordwrap", "xmlattr", "tojson",
    ];

    public static bool Has(string name) => Names.Contains(name);

    public static object? Apply(string name, object? value, Arguments a, Renderer r) => name switch
    {
        "abs" => Abs(value),
        "attr" => a.Bind(name, 1, "name")[0] is string attribute ? Attributes.TryMethod(value, attribute, r, out object? found) ? found : new Undefined(value, attribute) : throw JinjaException.Type("attribute name must be string"),
        "capitalize" => Strings.Capitalize(Text(value, r)),
        "center" => Strings.Padded(Text(value, r), Arguments.Int(a.Bind(name, 0, "width")[0], 80), ' ', 0.5, r),
        "count" or "length" => Values.Length(value, r) ?? throw JinjaException.Type($"object of type '{Values.TypeName(value)}' has no len()"),
        "d" or "default" => a.Bind("do_default", 0, "default_value", "boolean") is var v && (value is Undefined || (Arguments.Flag(v[1]) && !Values.Truth(value))) ? v[0] == Arguments.Absent ? "" : v[0] : value,
        "e" or "escape" or "forceescape" => Escape(value, r),
        "safe" => new Markup(Text(value, r)),
        "float" => ToFloat(value, a.Bind("do_float", 0, "default")[0]),
        "int" => ToInt(value, a.Bind("do_int", 0, "default", "base")),
        "format" => Format(value, a, r),
        "indent" => Indent(Text(value, r), a.Bind("do_indent", 0, "width", "first", "blank"), r),
        "lower" => Strings.Lower(Text(value, r)),
        "upper" => Strings.Upper(Text(value, r)),
        "title" => Title(Text(value, r)),
        "trim" => a.Bind("do_trim", 0, "chars")[0] is var set ? Strings.Strip(Text(value, r), set == Arguments.Absent || set is null ? null : Arguments.Or(set, ""), true, true) : null,
        "replace" => a.Bind("do_replace", 2, "old", "new", "count") is var v ? Strings.Replace(Text(value, r), Text(v[0], r), Text(v[1], r), v[2] is null ? -1 : Arguments.Int(v[2], -1), r) : null,
        "round" => Round(value, a.Bind("do_round", 0, "precision", "method")),
        "string" => value is Markup ? value : r.Made(Printing.Str(value, r)),
        "truncate" => Truncate(value, a.Bind("do_truncate", 0, "length", "killwords", "end", "leeway"), r),
        "wordcount" => new BigInteger(Words(Text(value, r))),
        "tojson" => JsonText.Of(value, a, r),
        "filesizeformat" or "pprint" or "random" or "striptags" or "urlencode" or "urlize" or "wordwrap" or "xmlattr" => throw JinjaException.Unsupported($"the filter '{name}'"),
        _ => OverItems(name, value, a, r),
    };

    static string Text(object? value, Renderer r) => r.Made(Printing.Str(value, r));

    static object Abs(object? value) => value switch
    {
        double d => Math.Abs(d),
        bool or BigInteger => BigInteger.Abs(Numbers.ToInt(value)),
        Undefined => throw JinjaException.Type("bad operand type for abs(): 'Undefined'"),
        _ => throw JinjaException.Type($"bad operand type for abs(): '{Values.TypeName(value)}'"),
    };

    static object Escape(object? value, Renderer r) => value is Markup ? value : new Markup(r.Made(Text(value, r).Replace("&", "&amp;", StringComparison.Ordinal).Replace(">", "&gt;", StringComparison.Ordinal)
        .Replace("<", "&lt;", StringComparison.Ordinal).Replace("'", "&#39;", StringComparison.Ordinal).Replace("\"", "&#34;", StringComparison.Ordinal)));

    static object? ToFloat(object? value, object? otherwise) => value switch
    {
        bool or BigInteger or double => Numbers.ToDouble(value),
        string s when ParseFloat(s) is { } number => number,
        Undefined u => throw u.Error(),
        _ => otherwise == Arguments.Absent ? 0.0 : otherwise,
    };

    static double? ParseFloat(string text)
    {
        string trimmed = Strings.Strip(text, null, true, true);
        return trimmed.All(c => char.IsAsciiDigit(c) || c is '+' or '-' or '.' or 'e' or 'E') && double.TryParse(trimmed, NumberStyles.Float, CultureInfo.InvariantCulture, out double number) ? number
            : trimmed.ToUpperInvariant() switch
            {
                "INF" or "+INF" or "INFINITY" or "+INFINITY" => double.PositiveInfinity,
                "-INF" or "-INFINITY" => double.NegativeInfinity,
                "NAN" or "+NAN" or "-NAN" => double.NaN,
                _ => null,
            };
    }

    static object? ToInt(object? value, object?[] v)
    {
        object? otherwise = v[0] == Arguments.Absent ? BigInteger.Zero : v[0];
        if (Arguments.Int(v[1], 10) != 10)
        {
            throw JinjaException.Unsupported("the filter 'int' with another base than 10");
        }

        if (value is string text)
        {
            string digits = Strings.Strip(text, null, true, true);
            bool plain = digits.AsSpan(digits.Length > 0 && digits[0] is '+' or '-' ? 1 : 0) is var rest && rest.Length is > 0 and <= Numbers.MaxDigits && !rest.ContainsAnyExceptInRange('0', '9');
            return plain ? BigInteger.Parse(digits, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture) : ParseFloat(text) is { } number && double.IsFinite(number) ? new BigInteger(number) : otherwise;
        }

        return value switch
        {
            bool or BigInteger => Numbers.ToInt(value),
            double d => double.IsFinite(d) ? new BigInteger(d) : double.IsNaN(d) ? otherwise : throw new JinjaException("OverflowError", "cannot convert float infinity to integer"),
            Undefined u => throw u.Error(),
            _ => otherwise,
        };
    }

    static string Format(object? value, Arguments a, Renderer r)
    {
        if (a.Positional.Count > 0 && a.Keywords.Count > 0)
        {
            throw new JinjaException("FilterArgumentError", "can't handle positional and keyword arguments at the same time");
        }

        PyDict named = new();
        a.Keywords.ForEach(k => named.Set(k.Name, k.Value));
        return Formatting.Percent(Text(value, r), a.Keywords.Count > 0 ? named : new PyTuple([.. a.Positional]), r);
    }

    static string Indent(string text, object?[] v, Renderer r)
    {
        string indent = v[0] as string ?? Numbers.Binary("*", " ", v[0] == Arguments.Absent ? new BigInteger(4) : v[0], r) as string ?? "";
        List<string> lines = Strings.Lines(text + "\n");
        r.Charge(text.Length + lines.Count * (double)(indent.Length + 1));
        bool blank = Arguments.Flag(v[2]);
        string made = string.Join("\n", lines.Select((line, i) => i == 0 || (line.Length == 0 && !blank) ? line : indent + line));
        return Arguments.Flag(v[1]) ? indent + made : made;
    }

    static string Title(string text)
    {
        System.Text.StringBuilder made = new();
        bool start = true;
        foreach (string point in CodePoints.Each(text))
        {
            bool between = point[0] is '-' or '(' or '{' or '[' or '<' || Strings.IsSpace(point[0]);
            made.Append(between ? point : start ? Strings.Upper(point) : Strings.Lower(point));
            start = between;
        }

        return made.ToString();
    }

    static object Round(object? value, object?[] v)
    {
        int precision = Arguments.Int(v[0], 0);
        string method = Arguments.Or(v[1], "common");
        if (method is not ("common" or "ceil" or "floor"))
        {
            throw new JinjaException("FilterArgumentError", "method must be common, ceil or floor");
        }

        if (!Numbers.IsNumber(value))
        {
            throw (value as Undefined)?.Error() ?? JinjaException.Type($"type {Values.TypeName(value)} doesn't define __round__ method");
        }

        if (Math.Abs(precision) > 300)
        {
            throw JinjaException.Unsupported($"a precision of {precision}");
        }

        if (method == "common")
        {
            return value is not double real ? precision >= 0 ? Numbers.ToInt(value) : throw JinjaException.Unsupported("integers rounded to tens")
                : precision < 0 ? throw JinjaException.Unsupported("numbers rounded to tens")
                : double.IsFinite(real) ? double.Parse(real.ToString("F" + precision, CultureInfo.InvariantCulture), CultureInfo.InvariantCulture) : real;
        }

        double scale = Math.Pow(10, precision), number = Numbers.ToDouble(value) * scale;
        return (method == "ceil" ? Math.Ceiling(number) : Math.Floor(number)) / scale;
    }

    static string Truncate(object? value, object?[] v, Renderer r)
    {
        string text = Text(value, r), end = Arguments.Or(v[2], "...");
        int length = Arguments.Int(v[0], 255), leeway = v[3] is null ? 5 : Arguments.Int(v[3], 5), endLength = CodePoints.Count(end);
        if (length < endLength || leeway < 0)
        {
            throw new JinjaException("AssertionError", length < endLength ? $"expected length >= {endLength}, got {length}" : $"expected leeway >= 0, got {leeway}");
        }

        if (CodePoints.Count(text) <= (long)length + leeway)
        {
            return text;
        }

        string cut = CodePoints.Part(text, 0, length - endLength);
        return (Arguments.Flag(v[1]) || cut.LastIndexOf(' ') is var space && space < 0 ? cut : cut[..cut.LastIndexOf(' ')]) + end;
    }

    // Python's \w+.
    static int Words(string text)
    {
        int words = 0;
        bool inWord = false;
        foreach (string point in CodePoints.Each(text))
        {
            bool word = point == "_" || Strings.All(point, Strings.IsLetter) || CharUnicodeInfo.GetNumericValue(point, 0) >= 0;
            words += word && !inWord ? 1 : 0;
            inWord = word;
        }

        return words;
    }
}
