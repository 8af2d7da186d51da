using System.Numerics;

namespace Diffract.Formats.Jinja;

/// <summary>The functions that a template finds.</summary>
static class Globals
{
    // The sandbox of jinja2 has the same.
    const int MaxRange = 100_000;

    public static void AddTo(Scope scope)
    {
        scope.Set("range", new Function("range", Range, "type"));
        scope.Set("dict", new Function("dict", Dict, "type"));
        scope.Set("namespace", new Function("namespace", MakeNamespace, "type"));
        scope.Set("cycler", new Function("cycler", (a, _) => a.Positional.Count > 0 ? new Cycler(a.Positional) : throw new JinjaException("RuntimeError", "at least one item has to be provided"), "type"));
        scope.Set("joiner", new Function("joiner", Joiner, "type"));
        scope.Set("lipsum", new Function("lipsum", (_, _) => throw JinjaException.Unsupported("the function 'lipsum'")));
        scope.Set("raise_exception", new Function("raise_exception", (a, r) => throw new JinjaException("TemplateError", Printing.Str(a.Bind("raise_exception", 1, "message")[0], r))));
        scope.Set("strftime_now", new Function("strftime_now", (a, r) => r.Made(TimeText.Format(Arguments.Or(a.Bind("strftime_now", 1, "format")[0], ""), r.Now))));
    }

    static PyRange Range(Arguments a, Renderer r)
    {
        List<object?> v = a.Positional;
        if (v.Count is 0 or > 3 || a.Keywords.Count > 0)
        {
            throw JinjaException.Type(a.Keywords.Count > 0 ? "range() takes no keyword arguments" : v.Count == 0 ? "range expected at least 1 argument, got 0" : $"range expected at most 3 arguments, got {v.Count}");
        }

        BigInteger[] bounds = [.. v.Select(i => i is bool or BigInteger ? Numbers.ToInt(i) : Values.Int(i))];
        if (bounds.Length == 3 && bounds[2].IsZero)
        {
            throw JinjaException.Value("range() arg 3 must not be zero");
        }

        PyRange range = bounds.Length == 1 ? new PyRange(0, bounds[0], 1) : new PyRange(bounds[0], bounds[1], bounds.Length == 3 ? bounds[2] : 1);
        return range.Count > MaxRange ? throw new JinjaException("OverflowError", $"Range too big. The sandbox blocks ranges larger than MAX_RANGE ({MaxRange}).") : range;
    }

    public static PyDict Dict(Arguments a, Renderer r)
    {
        PyDict made = new();
        if (a.Positional.Count > 1)
        {
            throw JinjaException.Type($"dict expected at most 1 argument, got {a.Positional.Count}");
        }

        if (a.Positional is [PyDict other])
        {
            other.Items.ForEach(i => made.Set(i.Key, i.Value, r));
        }
        else if (a.Positional.Count == 1)
        {
            foreach (object? item in Values.ToList(a.Positional[0], r))
            {
                List<object?> pair = Values.CanIterate(item) ? Values.ToList(item, r) : throw JinjaException.Type("cannot convert dictionary update sequence element #0 to a sequence");
                if (pair.Count != 2)
                {
                    throw JinjaException.Value($"dictionary update sequence element #0 has length {pair.Count}; 2 is required");
                }

                made.Set(pair[0], pair[1], r);
            }
        }

        a.Keywords.ForEach(k => made.Set(k.Name, k.Value, r));
        r.Charge(made.Items.Count);
        return made;
    }

    static Namespace MakeNamespace(Arguments a, Renderer r)
    {
        Namespace made = new();
        foreach ((object? key, object? value) in Dict(a, r).Items)
        {
            made.Attributes[key as string ?? throw JinjaException.Type("the names of a namespace are strings")] = value;
        }

        return made;
    }

    static Function Joiner(Arguments a, Renderer r)
    {
        object? separator = a.Bind("joiner", 0, "sep")[0] is var given && given == Arguments.Absent ? ", " : given;
        bool used = false;
        return new Function("joiner", (_, _) =>
        {
            (bool before, used) = (used, true);
            return before ? separator : "";
        }, "Joiner");
    }
}

/// <summary>What <c>cycler</c> makes.</summary>
sealed class Cycler(List<object?> items)
{
    int _at;

    public object? Attribute(string name) => name switch
    {
        "current" => items[_at],
        "next" => new Function("next", (_, _) =>
        {
            object? item = items[_at];
            _at = (_at + 1) % items.Count;
            return item;
        }, "method"),
        "reset" => new Function("reset", (_, _) =>
        {
            _at = 0;
            return null;
        }, "method"),
        _ => null,
    };
}
