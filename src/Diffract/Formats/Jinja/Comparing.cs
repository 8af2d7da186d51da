using System.Numerics;

namespace Diffract.Formats.Jinja;

/// <summary>Python's comparisons.</summary>
static class Comparing
{
    public static bool Holds(string op, object? a, object? b, Renderer r) => op switch
    {
        "==" => Same(a, b, r),
        "!=" => !Same(a, b, r),
        "in" => Contains(b, a, r),
        "not in" => !Contains(b, a, r),
        "<" => Before(a, b, r, op),
        ">" => Before(b, a, r, op),
        "<=" => Ordered(a, b, r, op),
        _ => Ordered(b, a, r, op),
    };

    public static bool Same(object? a, object? b, Renderer? r)
    {
        r?.Enter();
        bool same = (a, b) switch
        {
            (null, null) => true,
            (bool or BigInteger or double, bool or BigInteger or double) => NumbersSame(a, b),
            (string x, string y) => string.Equals(x, y, StringComparison.Ordinal),
            (Markup x, string y) => x.Text == y,
            (string x, Markup y) => x == y.Text,
            (Markup x, Markup y) => x.Text == y.Text,
            (PyList x, PyList y) => Same(x.Items, y.Items, r),
            (PyTuple x, PyTuple y) => Same(x.Items, y.Items, r),
            (PyDict x, PyDict y) => x.Items.Count == y.Items.Count && x.Items.TrueForAll(i => y.TryGet(i.Key, out object? other, r) && Same(i.Value, other, r)),
            (PyRange x, PyRange y) => x.Count == y.Count && (x.Count.IsZero || (x.Start == y.Start && (x.Count.IsOne || x.Step == y.Step))),
            (Undefined, Undefined) => true,
            _ => ReferenceEquals(a, b),
        };
        r?.Leave();
        return same;
    }

    static bool Same(IReadOnlyList<object?> a, IReadOnlyList<object?> b, Renderer? r)
    {
        bool same = a.Count == b.Count;
        for (int i = 0; same && i < a.Count; i++)
        {
            same = Same(a[i], b[i], r);
        }

        return same;
    }

    static bool NumbersSame(object a, object b)
    {
        if (a is double x && b is double y)
        {
            return x == y;
        }

        (object real, object whole) = a is double ? (a, b) : (b, a);
        return real is double d ? d == Math.Floor(d) && !double.IsInfinity(d) && new BigInteger(d) == Numbers.ToInt(whole) : Numbers.ToInt(a) == Numbers.ToInt(b);
    }

    /// <summary>a &lt; b, or b &gt; a where <paramref name="op"/> says so.</summary>
    public static bool Before(object? a, object? b, Renderer r, string op = "<") => Compare(a, b, r, op, false);

    static bool Ordered(object? a, object? b, Renderer r, string op) => Compare(a, b, r, op, true);

    static bool Compare(object? a, object? b, Renderer r, string op, bool orSame)
    {
        r.Enter();
        bool holds = (a, b) switch
        {
            (bool or BigInteger or double, bool or BigInteger or double) => a is double || b is double
                ? orSame ? Numbers.ToDouble(a) <= Numbers.ToDouble(b) : Numbers.ToDouble(a) < Numbers.ToDouble(b)
                : orSame ? Numbers.ToInt(a) <= Numbers.ToInt(b) : Numbers.ToInt(a) < Numbers.ToInt(b),
            (string x, string y) => CodePoints.Compare(x, y) is int order && (orSame ? order <= 0 : order < 0),
            (PyList x, PyList y) => Compare(x.Items, y.Items, r, op, orSame),
            (PyTuple x, PyTuple y) => Compare(x.Items, y.Items, r, op, orSame),
            _ => throw Unordered(a, b, op),
        };
        r.Leave();
        return holds;
    }

    static bool Compare(IReadOnlyList<object?> a, IReadOnlyList<object?> b, Renderer r, string op, bool orSame)
    {
        for (int i = 0; i < Math.Min(a.Count, b.Count); i++)
        {
            if (!Same(a[i], b[i], r))
            {
                return Compare(a[i], b[i], r, op, orSame);
            }
        }

        return orSame ? a.Count <= b.Count : a.Count < b.Count;
    }

    static JinjaException Unordered(object? a, object? b, string op)
    {
        // The operands stand the other way round for > and >=.
        (a, b) = op[0] == '>' ? (b, a) : (a, b);
        return (a as Undefined ?? b as Undefined)?.Error() ?? JinjaException.Type($"'{op}' not supported between instances of '{Values.TypeName(a)}' and '{Values.TypeName(b)}'");
    }

    public static bool Contains(object? container, object? item, Renderer r)
    {
        switch (container)
        {
            case string or Markup:
                string text = container as string ?? ((Markup)container).Text;
                return (item as string ?? (item as Markup)?.Text) is { } part ? text.Contains(part, StringComparison.Ordinal) : throw JinjaException.Type($"'in <string>' requires string as left operand, not {Values.TypeName(item)}");
            case PyDict dict:
                return dict.TryGet(item, out _, r);
            case PyView { Kind: "keys" } keys:
                return keys.Dict.TryGet(item, out _, r);
            default:
                return Values.CanIterate(container)
                    ? Values.Iterate(container, r).Any(i => Same(i, item, r))
                    : throw JinjaException.Type($"argument of type '{Values.TypeName(container)}' is not iterable");
        }
    }

    /// <summary>Python's <c>sorted</c>: stable.</summary>
    public static List<object?> Sort(List<object?> items, Func<object?, object?> key, bool reverse, Renderer r)
    {
        (object? Key, object? Item)[] sorted = [.. items.Select(i => (key(i), i))];
        (object?, object?)[] room = new (object?, object?)[sorted.Length];
        r.Charge(sorted.Length);
        if (reverse)
        {
            Array.Reverse(sorted);
        }

        for (int width = 1; width < sorted.Length; width *= 2)
        {
            for (int from = 0; from < sorted.Length; from += 2 * width)
            {
                int middle = Math.Min(from + width, sorted.Length), end = Math.Min(from + 2 * width, sorted.Length);
                for (int i = from, j = middle, at = from; at < end; at++)
                {
                    room[at] = j < end && (i >= middle || Before(sorted[j].Key, sorted[i].Key, r)) ? sorted[j++] : sorted[i++];
                }
            }

            (sorted, room) = (room, sorted);
        }

        if (reverse)
        {
            Array.Reverse(sorted);
        }

        return [.. sorted.Select(s => s.Item)];
    }
}
