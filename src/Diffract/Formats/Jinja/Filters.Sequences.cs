using System.Numerics;

namespace Diffract.Formats.Jinja;

static partial class Filters
{
    static object? OverItems(string name, object? value, Arguments a, Renderer r) => name switch
    {
        "batch" => new PyIterator("generator", Batch(value, a.Bind("do_batch", 1, "linecount", "fill_with"), r)),
        "slice" => new PyIterator("generator", Slices(value, a.Bind("do_slice", 1, "slices", "fill_with"), r)),
        "dictsort" => DictSort(value, a.Bind("do_dictsort", 0, "case_sensitive", "by", "reverse"), r),
        "first" => Values.Iterate(value, r).Cast<object?>().DefaultIfEmpty(Undefined.Because("No first item, sequence was empty.")).First(),
        "last" => Last(value, r),
        "groupby" => GroupBy(value, a.Bind("do_groupby", 1, "attribute", "default", "case_sensitive"), r),
        "items" => value is Undefined ? new PyIterator("generator", []) : value is PyDict dict ? new PyIterator("generator", new PyView(dict, "items").Items()) : throw JinjaException.Type("Can only get item pairs from a mapping."),
        "join" => Join(value, a.Bind("do_join", 0, "d", "attribute"), r),
        "list" => new PyList(Values.ToList(value, r)),
        "map" => new PyIterator("generator", Map(value, a, r)),
        "min" or "max" => MinMax(value, name == "max", a.Bind("do_" + name, 0, "case_sensitive", "attribute"), r),
        "reverse" => Reverse(value, r),
        "select" or "reject" => new PyIterator("generator", Select(value, a, name == "reject", false, r)),
        "selectattr" or "rejectattr" => new PyIterator("generator", Select(value, a, name == "rejectattr", true, r)),
        "sort" => a.Bind("do_sort", 0, "reverse", "case_sensitive", "attribute") is var v ? new PyList(Comparing.Sort(Values.ToList(value, r), SortKey(v[2], Arguments.Flag(v[1]), r), Arguments.Flag(v[0]), r)) : null,
        "sum" => Sum(value, a.Bind("do_sum", 0, "attribute", "start"), r),
        _ => new PyIterator("generator", Unique(value, a.Bind("do_unique", 0, "case_sensitive", "attribute"), r)),
    };

    static object? Folded(object? value) => value is string s ? Strings.Lower(s) : value;

    /// <summary>The function that a filter's <c>attribute</c> stands for: "a.b.0" by dots.</summary>
    static Func<object?, object?> Getter(object? attribute, Renderer r, object? otherwise = null, bool fold = false)
    {
        object?[] parts = attribute == Arguments.Absent || attribute is null ? []
            : attribute is string path ? [.. path.Split('.').Select(p => Strings.IsDigits(p) && p.Length < 10 ? new BigInteger(int.Parse(p, System.Globalization.CultureInfo.InvariantCulture)) : (object)p)]
            : [attribute];
        return item =>
        {
            foreach (object? part in parts)
            {
                item = Attributes.Item(item, part, r);
                item = item is Undefined && otherwise is not null && otherwise != Arguments.Absent ? otherwise : item;
            }

            return fold ? Folded(item) : item;
        };
    }

    static Func<object?, object?> SortKey(object? attribute, bool exact, Renderer r)
    {
        if (attribute is not string several)
        {
            return Getter(attribute, r, null, !exact);
        }

        Func<object?, object?>[] getters = [.. several.Split(',').Select(one => Getter(one, r, null, !exact))];
        return item => new PyList([.. getters.Select(g => g(item))]);
    }

    static IEnumerable<object?> Batch(object? value, object?[] v, Renderer r)
    {
        int size = Values.Int(v[0]);
        List<object?> batch = [];
        foreach (object? item in Values.Iterate(value, r))
        {
            if (batch.Count == size)
            {
                yield return new PyList(batch);
                batch = [];
            }

            r.Charge(1);
            batch.Add(item);
        }

        if (batch.Count > 0)
        {
            bool fill = v[1] != Arguments.Absent && v[1] is not null;
            r.Charge(fill ? size : 0);
            batch.AddRange(Enumerable.Repeat(v[1], fill ? Math.Max(0, size - batch.Count) : 0));
            yield return new PyList(batch);
        }
    }

    static IEnumerable<object?> Slices(object? value, object?[] v, Renderer r)
    {
        List<object?> items = Values.ToList(value, r);
        int slices = Values.Int(v[0]);
        if (slices == 0)
        {
            throw new JinjaException("ZeroDivisionError", "integer division or modulo by zero");
        }

        int size = items.Count / slices, extra = items.Count % slices, at = 0;
        for (int i = 0; i < slices; i++)
        {
            r.Charge(1);
            r.Step();
            int count = size + (i < extra ? 1 : 0);
            List<object?> part = items.GetRange(at, count);
            at += count;
            if (v[1] != Arguments.Absent && v[1] is not null && i >= extra)
            {
                part.Add(v[1]);
            }

            yield return new PyList(part);
        }
    }

    static PyList DictSort(object? value, object?[] v, Renderer r)
    {
        string by = Arguments.Or(v[1], "key");
        if (by is not ("key" or "value"))
        {
            throw new JinjaException("FilterArgumentError", "You can only sort by either \"key\" or \"value\"");
        }

        if (value is not PyDict dict)
        {
            throw (value as Undefined)?.Error() ?? new JinjaException("AttributeError", $"'{Values.TypeName(value)}' object has no attribute 'items'");
        }

        List<object?> pairs = [.. new PyView(dict, "items").Items()];
        r.Charge(pairs.Count);
        return new PyList(Comparing.Sort(pairs, p => ((PyTuple)p!).Items[by == "key" ? 0 : 1] is var key && Arguments.Flag(v[0]) ? key : Folded(key), Arguments.Flag(v[2]), r));
    }

    static object? Last(object? value, Renderer r)
    {
        if (value is PyIterator)
        {
            throw JinjaException.Type($"'{Values.TypeName(value)}' object is not reversible");
        }

        List<object?> items = Values.CanIterate(value) ? Values.ToList(value, r) : throw JinjaException.Type($"'{Values.TypeName(value)}' object is not reversible");
        return items.DefaultIfEmpty(Undefined.Because("No last item, sequence was empty.")).Last();
    }

    static object? Reverse(object? value, Renderer r)
    {
        if (value is string text)
        {
            r.Charge(text.Length);
            return CodePoints.Reversed(text);
        }

        if (!Values.CanIterate(value))
        {
            throw new JinjaException("FilterArgumentError", "argument must be iterable");
        }

        List<object?> items = Values.ToList(value, r);
        items.Reverse();
        return value is PyIterator ? new PyList(items) : new PyIterator("list_reverseiterator", items);
    }

    static PyList GroupBy(object? value, object?[] v, Renderer r)
    {
        bool exact = Arguments.Flag(v[2]);
        Func<object?, object?> key = Getter(v[0], r, v[1], !exact), real = Getter(v[0], r, v[1]);
        List<object?> groups = [];
        List<object?> group = [];
        object? last = null;
        foreach (object? item in Comparing.Sort(Values.ToList(value, r), key, false, r))
        {
            object? k = key(item);
            if (group.Count == 0 || !Comparing.Same(k, last, r))
            {
                group = [];
                last = k;
                groups.Add(new PyGroup(real(item), new PyList(group)));
            }

            r.Charge(1);
            group.Add(item);
        }

        return new PyList(groups);
    }

    static string Join(object? value, object?[] v, Renderer r)
    {
        Func<object?, object?> get = Getter(v[1], r);
        string separator = v[0] == Arguments.Absent ? "" : Printing.Str(v[0], r);
        System.Text.StringBuilder made = new();
        bool first = true;
        foreach (object? item in Values.Iterate(value, r))
        {
            string text = Printing.Str(get(item), r);
            r.Charge(text.Length + (double)separator.Length);
            made.Append(first ? "" : separator).Append(text);
            first = false;
        }

        return made.ToString();
    }

    static IEnumerable<object?> Map(object? value, Arguments a, Renderer r)
    {
        if (!Values.Truth(value))
        {
            yield break;
        }

        Func<object?, object?> function;
        if (a.Positional.Count == 0 && a.Keywords.Exists(k => k.Name == "attribute"))
        {
            string? extra = a.Keywords.Find(k => k.Name is not ("attribute" or "default")).Name;
            function = extra is null
                ? Getter(a.Keywords.Find(k => k.Name == "attribute").Value, r, a.Keywords.Find(k => k.Name == "default").Value)
                : throw new JinjaException("FilterArgumentError", $"Unexpected keyword argument '{extra}'");
        }
        else
        {
            if (a.Positional.Count == 0)
            {
                throw new JinjaException("FilterArgumentError", "map requires a filter argument");
            }

            string name = a.Positional[0] as string ?? "";
            Arguments rest = new(a.Positional[1..], a.Keywords);
            function = Has(name) ? item => Apply(name, item, rest, r) : throw new JinjaException("TemplateRuntimeError", $"No filter named {Printing.Repr(a.Positional[0], r)}.");
        }

        foreach (object? item in Values.Iterate(value, r))
        {
            yield return function(item);
        }
    }

    static IEnumerable<object?> Select(object? value, Arguments a, bool reject, bool byAttribute, Renderer r)
    {
        if (!Values.Truth(value))
        {
            yield break;
        }

        int used = byAttribute ? 1 : 0;
        if (a.Positional.Count < used)
        {
            throw new JinjaException("FilterArgumentError", "Missing parameter for attribute name");
        }

        Func<object?, object?> get = byAttribute ? Getter(a.Positional[0], r) : item => item;
        Func<object?, bool> test = Values.Truth;
        if (a.Positional.Count > used)
        {
            string name = a.Positional[used] as string ?? "";
            Arguments rest = new(a.Positional[(used + 1)..], a.Keywords);
            test = Tests.Has(name) ? item => Tests.Holds(name, item, rest, r) : throw new JinjaException("TemplateRuntimeError", $"No test named {Printing.Repr(a.Positional[used], r)}.");
        }

        foreach (object? item in Values.Iterate(value, r))
        {
            if (test(get(item)) != reject)
            {
                yield return item;
            }
        }
    }

    static object? MinMax(object? value, bool max, object?[] v, Renderer r)
    {
        Func<object?, object?> key = Getter(v[1], r, null, !Arguments.Flag(v[0]));
        object? best = Undefined.Because("No aggregated item, sequence was empty."), bestKey = null;
        bool first = true;
        foreach (object? item in Values.Iterate(value, r))
        {
            object? k = key(item);
            if (first || (max ? Comparing.Before(bestKey, k, r, ">") : Comparing.Before(k, bestKey, r)))
            {
                (best, bestKey, first) = (item, k, false);
            }
        }

        return best;
    }

    static object? Sum(object? value, object?[] v, Renderer r)
    {
        Func<object?, object?> get = Getter(v[0], r);
        object? sum = v[1] == Arguments.Absent ? BigInteger.Zero : v[1];
        if (sum is string)
        {
            throw JinjaException.Type("sum() can't sum strings [use ''.join(seq) instead]");
        }

        foreach (object? item in Values.Iterate(value, r))
        {
            sum = Numbers.Binary("+", sum, get(item), r);
        }

        return sum;
    }

    static IEnumerable<object?> Unique(object? value, object?[] v, Renderer r)
    {
        Func<object?, object?> key = Getter(v[1], r, null, !Arguments.Flag(v[0]));
        PyDict seen = new();
        foreach (object? item in Values.Iterate(value, r))
        {
            object? k = key(item);
            if (!seen.TryGet(k, out _, r))
            {
                r.Charge(1);
                seen.Set(k, null, r);
                yield return item;
            }
        }
    }
}
