using System.Globalization;
using System.Numerics;
using System.Text;

namespace Diffract.Formats.Jinja;

/// <summary>The filter <c>tojson</c> as transformers replaces it: Python's <c>json.dumps</c>, without escapes for HTML.</summary>
sealed class JsonText(bool ascii, string? indent, string itemSeparator, string keySeparator, bool sortKeys, Renderer r)
{
    readonly StringBuilder _made = new();

    public static string Of(object? value, Arguments arguments, Renderer r)
    {
        object?[] a = arguments.Bind("tojson", 0, "ensure_ascii", "indent", "separators", "sort_keys");
        string? indent = a[1] == Arguments.Absent || a[1] is null ? null : a[1] as string ?? new string(' ', Math.Clamp(Values.Int(a[1]), 0, 1000));
        (string items, string keys) = (indent is null ? ", " : ",", ": ");
        if (a[2] != Arguments.Absent && a[2] is not null)
        {
            List<object?> pair = Values.ToList(a[2], r);
            (items, keys) = pair is [string first, string second] ? (first, second) : throw JinjaException.Type("separators must be two strings");
        }

        JsonText text = new(Arguments.Flag(a[0]), indent, items, keys, Arguments.Flag(a[3]), r);
        text.Write(value, 0);
        return text._made.ToString();
    }

    void Write(object? value, int depth)
    {
        r.Enter();
        int before = _made.Length;
        switch (value)
        {
            case PyList list:
                Sequence(list.Items, depth);
                break;
            case PyTuple tuple:
                Sequence(tuple.Items, depth);
                break;
            case PyDict dict:
                Pairs(dict, depth);
                break;
            default:
                _made.Append(value switch
                {
                    null => "null",
                    bool b => b ? "true" : "false",
                    BigInteger i => Numbers.Print(i),
                    double d => Real(d),
                    string s => Quoted(s),
                    Markup m => Quoted(m.Text),
                    _ => throw JinjaException.Type($"Object of type {Values.TypeName(value)} is not JSON serializable"),
                });
                r.Charge(_made.Length - before);
                break;
        }

        r.Leave();
    }

    static string Real(double value) => double.IsNaN(value) ? "NaN" : double.IsInfinity(value) ? value > 0 ? "Infinity" : "-Infinity" : Numbers.Print(value);

    void Sequence(IReadOnlyList<object?> items, int depth)
    {
        _made.Append('[');
        for (int i = 0; i < items.Count; i++)
        {
            Next(i, depth + 1);
            Write(items[i], depth + 1);
        }

        End(items.Count, depth, ']');
    }

    void Pairs(PyDict dict, int depth)
    {
        List<object?> pairs = [.. dict.Items.Select(i => new PyTuple(i.Key, i.Value))];
        pairs = sortKeys ? Comparing.Sort(pairs, p => ((PyTuple)p!).Items[0], false, r) : pairs;
        _made.Append('{');
        for (int i = 0; i < pairs.Count; i++)
        {
            object?[] pair = ((PyTuple)pairs[i]!).Items;
            Next(i, depth + 1);
            _made.Append(Quoted(pair[0] switch
            {
                string s => s,
                null => "null",
                bool b => b ? "true" : "false",
                BigInteger number => Numbers.Print(number),
                double d => Real(d),
                _ => throw JinjaException.Type($"keys must be str, int, float, bool or None, not {Values.TypeName(pair[0])}"),
            }));
            _made.Append(keySeparator);
            Write(pair[1], depth + 1);
        }

        End(pairs.Count, depth, '}');
    }

    void Next(int index, int depth)
    {
        _made.Append(index == 0 ? "" : itemSeparator);
        NewLine(depth);
    }

    void End(int count, int depth, char close)
    {
        if (count > 0)
        {
            NewLine(depth);
        }

        _made.Append(close);
    }

    void NewLine(int depth)
    {
        r.Charge(1 + itemSeparator.Length + keySeparator.Length + (double)depth * (indent?.Length ?? 0));
        if (indent is not null)
        {
            _made.Append('\n');
            _made.Insert(_made.Length, indent, depth);
        }
    }

    string Quoted(string text)
    {
        StringBuilder made = new("\"");
        foreach (char c in text)
        {
            made.Append(c switch
            {
                '"' => "\\\"",
                '\\' => "\\\\",
                '\n' => "\\n",
                '\r' => "\\r",
                '\t' => "\\t",
                '\b' => "\\b",
                '\f' => "\\f",
                _ => c < ' ' || (ascii && c > '~') ? "\\u" + ((int)c).ToString("x4", CultureInfo.InvariantCulture) : c.ToString(),
            });
        }

        return made.Append('"').ToString();
    }
}
