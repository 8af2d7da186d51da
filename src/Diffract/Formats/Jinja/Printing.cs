using System.Globalization;
using System.Numerics;
using System.Text;

namespace Diffract.Formats.Jinja;

/// <summary>Python's <c>str</c> and <c>repr</c>.</summary>
static class Printing
{
    public static string Str(object? value, Renderer? r) => value switch
    {
        string s => s,
        Markup m => m.Text,
        Undefined => "",
        _ => Repr(value, r),
    };

    public static string Repr(object? value, Renderer? r)
    {
        StringBuilder made = new();
        Write(made, value, r);
        return made.ToString();
    }

    static void Write(StringBuilder made, object? value, Renderer? r)
    {
        r?.Enter();
        int before = made.Length;
        switch (value)
        {
            case PyList list:
                Items(made, "[", list.Items, "]", r);
                break;
            case PyTuple tuple:
                Items(made, "(", tuple.Items, tuple.Items.Length == 1 ? ",)" : ")", r);
                break;
            case PyDict dict:
                Pairs(made, dict, r);
                break;
            case PyView view:
                made.Append("dict_").Append(view.Kind);
                Items(made, "([", [.. view.Items()], "])", r);
                break;
            case Namespace ns:
                PyDict attributes = new();
                ns.Attributes.ToList().ForEach(a => attributes.Set(a.Key, a.Value));
                made.Append("<Namespace ");
                Pairs(made, attributes, r);
                made.Append('>');
                break;
            default:
                made.Append(Simple(value, r));
                r?.Charge(made.Length - before);
                break;
        }

        r?.Leave();
    }

    static string Simple(object? value, Renderer? r) => value switch
    {
        null => "None",
        bool b => b ? "True" : "False",
        BigInteger i => Numbers.Print(i),
        double d => Numbers.Print(d),
        string s => Quote(s),
        Markup m => $"Markup({Quote(m.Text)})",
        PyRange range => $"range({range.Start}, {range.Stop}{(range.Step.IsOne ? "" : $", {range.Step}")})",
        PySlice slice => $"slice({Repr(slice.Start, r)}, {Repr(slice.Stop, r)}, {Repr(slice.Step, r)})",
        Undefined => "Undefined",
        LoopContext loop => loop.Printed(r!),
        Callable callable => callable.Printed,
        _ => $"<{Values.TypeName(value)} object>",
    };

    static void Items(StringBuilder made, string open, IReadOnlyList<object?> items, string close, Renderer? r)
    {
        made.Append(open);
        for (int i = 0; i < items.Count; i++)
        {
            made.Append(i == 0 ? "" : ", ");
            Write(made, items[i], r);
        }

        made.Append(close);
    }

    static void Pairs(StringBuilder made, PyDict dict, Renderer? r)
    {
        made.Append('{');
        for (int i = 0; i < dict.Items.Count; i++)
        {
            made.Append(i == 0 ? "" : ", ");
            Write(made, dict.Items[i].Key, r);
            made.Append(": ");
            Write(made, dict.Items[i].Value, r);
        }

        made.Append('}');
    }

    /// <summary>A string as Python's <c>repr</c> writes it.</summary>
    public static string Quote(string text)
    {
        char quote = text.Contains('\'', StringComparison.Ordinal) && !text.Contains('"', StringComparison.Ordinal) ? '"' : '\'';
        StringBuilder made = new();
        made.Append(quote);
        foreach (string point in CodePoints.Each(text))
        {
            int code = point.Length == 2 ? char.ConvertToUtf32(point, 0) : point[0];
            made.Append(code == quote || code == '\\' ? "\\" + point
                : code == '\n' ? "\\n"
                : code == '\r' ? "\\r"
                : code == '\t' ? "\\t"
                : Printable(code) ? point
                : code < 0x100 ? $"\\x{code:x2}"
                : code < 0x10000 ? $"\\u{code:x4}"
                : $"\\U{code:x8}");
        }

        return made.Append(quote).ToString();
    }

    public static bool Printable(int code) => code == ' ' || CharUnicodeInfo.GetUnicodeCategory(code) is not (UnicodeCategory.Control or UnicodeCategory.Format or UnicodeCategory.Surrogate or UnicodeCategory.PrivateUse
        or UnicodeCategory.OtherNotAssigned or UnicodeCategory.LineSeparator or UnicodeCategory.ParagraphSeparator or UnicodeCategory.SpaceSeparator);
}
