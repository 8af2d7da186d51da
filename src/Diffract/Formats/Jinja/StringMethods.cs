using System.Numerics;

namespace Diffract.Formats.Jinja;

/// <summary>The methods of a string.</summary>
static class StringMethods
{
    static readonly HashSet<string> Names =
    [
        "capitalize", "casefold", "center", "count", "encode", "endswith", "expandtabs", "find", "format", "format_map", "index", "isalnum", "isalpha", "isascii", "isdecimal", "isdigit", "isidentifier", "islower",
        "isnumeric", "isprintable", "isspace", "istitle", "isupper", "join", "ljust", "lower", "lstrip", "maketrans", "partition", "removeprefix", "removesuffix", "replace", "rfind", "rindex", "rjust", "rpartition",
        "rsplit", "rstrip", "split", "splitlines", "startswith", "strip", "swapcase", "title", "translate", "upper", "zfill",
    ];

    public static bool Has(string name) => Names.Contains(name);

    public static object? Call(string s, string name, Arguments a, Renderer r)
    {
        r.Charge(s.Length);
        return name switch
        {
            "capitalize" => Strings.Capitalize(None(Strings.Capitalize)),
            "lower" or "casefold" => name == "casefold" ? throw Unsupported(name) : Strings.Lower(None(Strings.Lower)),
            "upper" => Strings.Upper(None(Strings.Upper)),
            "title" => Strings.Title(None(Strings.Title)),
            "swapcase" => Strings.Swapped(s),
            "strip" => Strings.Strip(s, Characters(), true, true),
            "lstrip" => Strings.Strip(s, Characters(), true, false),
            "rstrip" => Strings.Strip(s, Characters(), false, true),
            "split" or "rsplit" => Split(s, name == "rsplit", a, r),
            "splitlines" => Strings.List(Strings.Lines(s, Arguments.Flag(a.Bind(name, 0, "keepends")[0])), r),
            "startswith" or "endswith" => Edge(s, name, a, r),
            "removeprefix" => Text(a.Bind(name, 1, "prefix")[0]) is var p && s.StartsWith(p, StringComparison.Ordinal) ? s[p.Length..] : s,
            "removesuffix" => Text(a.Bind(name, 1, "suffix")[0]) is var p && p.Length > 0 && s.EndsWith(p, StringComparison.Ordinal) ? s[..^p.Length] : s,
            "find" or "rfind" or "index" or "rindex" or "count" => Search(s, name, a),
            "join" => Join(s, a.Bind(name, 1, "iterable")[0], r),
            "replace" => a.Bind(name, 2, "old", "new", "count") is var v ? Strings.Replace(s, Text(v[0]), Text(v[1]), Arguments.Int(v[2], -1), r) : null,
            "partition" or "rpartition" => Partition(s, Text(a.Bind(name, 1, "sep")[0]), name == "rpartition"),
            "center" or "ljust" or "rjust" => a.Bind(name, 1, "width", "fillchar") is var v ? Strings.Padded(s, Values.Int(v[0]), Fill(v[1]), name == "center" ? 0.5 : name == "rjust" ? 1 : 0, r) : null,
            "zfill" => Zeros(s, Values.Int(a.Bind(name, 1, "width")[0]), r),
            "format" => Formatting.Braces(s, a, r),
            "isdigit" => Strings.IsDigits(s),
            "isdecimal" => Strings.All(s, c => c == System.Globalization.UnicodeCategory.DecimalDigitNumber),
            "isnumeric" => s.Length > 0 && CodePoints.Each(s).All(p => System.Globalization.CharUnicodeInfo.GetNumericValue(p, 0) >= 0),
            "isalpha" => Strings.All(s, Strings.IsLetter),
            "isalnum" => s.Length > 0 && CodePoints.Each(s).All(p => Strings.All(p, Strings.IsLetter) || System.Globalization.CharUnicodeInfo.GetNumericValue(p, 0) >= 0),
            "isspace" => s.Length > 0 && s.All(Strings.IsSpace),
            "isupper" => Strings.IsCase(s, true),
            "islower" => Strings.IsCase(s, false),
            "istitle" => (Strings.IsCase(s, true) || s.Any(char.IsUpper)) && Strings.Title(s) == s,
            "isascii" => s.All(char.IsAscii),
            "isprintable" => CodePoints.Each(s).All(p => Printing.Printable(p.Length == 2 ? char.ConvertToUtf32(p, 0) : p[0])),
            _ => throw Unsupported(name),
        };

        string None(Func<string, string> of) => a.Positional.Count + a.Keywords.Count == 0 ? s : throw JinjaException.Type($"str.{name}() takes no arguments ({a.Positional.Count + a.Keywords.Count} given)");

        string? Characters() => a.Bind(name, 0, "chars")[0] is var set && (set == Arguments.Absent || set is null) ? null : set as string ?? throw JinjaException.Type($"{name} arg must be None or str");
    }

    static JinjaException Unsupported(string name) => JinjaException.Unsupported($"the method '{name}' of a string");

    static string Text(object? value) => value as string ?? throw ((value as Undefined)?.Error() ?? JinjaException.Type($"must be str, not {Values.TypeName(value)}"));

    static char Fill(object? value) => value == Arguments.Absent ? ' ' : value is string { Length: 1 } fill ? fill[0] : throw JinjaException.Type("The fill character must be exactly one character long");

    static PyList Split(string s, bool fromRight, Arguments a, Renderer r)
    {
        object?[] v = a.Bind("split", 0, "sep", "maxsplit");
        string? separator = v[0] == Arguments.Absent || v[0] is null ? null : v[0] as string ?? throw JinjaException.Type($"must be str or None, not {Values.TypeName(v[0])}");
        return Strings.List(Strings.Split(s, separator, Arguments.Int(v[1], -1), fromRight), r);
    }

    static bool Edge(string s, string name, Arguments a, Renderer r)
    {
        object?[] v = a.Bind(name, 1, "prefix", "start", "end");
        string part = Part(s, v[1], v[2], out _);
        return v[0] switch
        {
            string text => Is(text),
            PyTuple texts => Values.ToList(texts, r).Any(t => Is(t as string ?? throw JinjaException.Type($"tuple for {name} must only contain str, not {Values.TypeName(t)}"))),
            _ => throw JinjaException.Type($"{name} first arg must be str or a tuple of str, not {Values.TypeName(v[0])}"),
        };

        bool Is(string text) => name == "startswith" ? part.StartsWith(text, StringComparison.Ordinal) : part.EndsWith(text, StringComparison.Ordinal);
    }

    // s[start:end], and where it starts.
    static string Part(string s, object? start, object? end, out int from)
    {
        int length = CodePoints.Count(s);
        from = Clip(start, 0);
        int to = Clip(end, length);
        return to <= from ? "" : CodePoints.Part(s, from, to);

        int Clip(object? value, int otherwise)
        {
            int at = value == Arguments.Absent || value is null ? otherwise : Values.Int(value);
            return Math.Clamp(at < 0 ? at + length : at, 0, length);
        }
    }

    static BigInteger Search(string s, string name, Arguments a)
    {
        object?[] v = a.Bind(name, 1, "sub", "start", "end");
        string wanted = Text(v[0]), part = Part(s, v[1], v[2], out int from);
        if (name == "count")
        {
            return new BigInteger(Strings.Occurrences(part, wanted));
        }

        int at = name[0] == 'r' ? part.LastIndexOf(wanted, StringComparison.Ordinal) : part.IndexOf(wanted, StringComparison.Ordinal);
        return at >= 0 ? new BigInteger(from + CodePoints.Count(part[..at]))
            : name is "index" or "rindex" ? throw JinjaException.Value("substring not found")
            : BigInteger.MinusOne;
    }

    static string Join(string s, object? items, Renderer r)
    {
        List<object?> parts = Values.CanIterate(items) ? Values.ToList(items, r) : throw JinjaException.Type("can only join an iterable");
        int bad = parts.FindIndex(p => p is not string);
        if (bad >= 0)
        {
            throw JinjaException.Type($"sequence item {bad}: expected str instance, {Values.TypeName(parts[bad])} found");
        }

        r.Charge(parts.Sum(p => (double)((string)p!).Length + s.Length));
        return string.Join(s, parts);
    }

    static PyTuple Partition(string s, string separator, bool fromRight)
    {
        int at = separator.Length == 0 ? throw JinjaException.Value("empty separator") : fromRight ? s.LastIndexOf(separator, StringComparison.Ordinal) : s.IndexOf(separator, StringComparison.Ordinal);
        return at >= 0 ? new PyTuple(s[..at], separator, s[(at + separator.Length)..])
            : fromRight ? new PyTuple("", "", s)
            : new PyTuple(s, "", "");
    }

    static string Zeros(string s, int width, Renderer r)
    {
        int sign = s.Length > 0 && s[0] is '+' or '-' ? 1 : 0;
        return s[..sign] + Strings.Padded(s[sign..], width - sign, '0', 1, r);
    }
}
