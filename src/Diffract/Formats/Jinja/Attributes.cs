using System.Numerics;
using System.Text;

namespace Diffract.Formats.Jinja;

/// <summary>Attributes and items as jinja2's immutable sandbox gives them: nothing of an object but its public methods that change nothing.</summary>
static class Attributes
{
    static readonly HashSet<string> ListChanges = ["append", "clear", "pop", "reverse", "insert", "sort", "extend", "remove"];
    static readonly HashSet<string> DictChanges = ["clear", "pop", "popitem", "setdefault", "update"];

    // What every object of Python has and the sandbox hides.
    static readonly HashSet<string> Hidden =
    [
        "__class__", "__delattr__", "__dir__", "__doc__", "__eq__", "__format__", "__ge__", "__getattribute__", "__getstate__", "__gt__", "__hash__", "__init__", "__init_subclass__", "__le__", "__lt__", "__ne__",
        "__new__", "__reduce__", "__reduce_ex__", "__repr__", "__setattr__", "__sizeof__", "__str__", "__subclasshook__",
    ];

    /// <summary><c>owner.name</c>.</summary>
    public static object? Get(object? owner, string name, Renderer r)
    {
        if (owner is Undefined undefined)
        {
            throw undefined.Error();
        }

        return TryMethod(owner, name, r, out object? value) || (owner is PyDict dict && dict.TryGet(name, out value, r)) ? value : new Undefined(owner, name);
    }

    /// <summary><c>owner[key]</c>.</summary>
    public static object? Item(object? owner, object? key, Renderer r)
    {
        if (owner is Undefined undefined)
        {
            throw undefined.Error();
        }

        return TryItem(owner, key, r, out object? value) || (key is string name && TryMethod(owner, name, r, out value)) ? value : new Undefined(owner, key);
    }

    /// <summary>Whether <c>owner.name</c> is there without a look at the items.</summary>
    public static bool TryMethod(object? owner, string name, Renderer r, out object? value)
    {
        value = null;
        if (Hidden.Contains(name))
        {
            value = Undefined.Unsafe(owner, name);
            return true;
        }

        switch (owner)
        {
            case string s:
                value = Method(name, (a, renderer) => StringMethods.Call(s, name, a, renderer));
                return StringMethods.Has(name);
            case Markup when StringMethods.Has(name):
                throw JinjaException.Unsupported($"the method '{name}' of text that is marked as safe");
            case PyDict dict:
                value = DictChanges.Contains(name) ? Undefined.Unsafe(owner, name) : DictMethod(dict, name);
                return value is not null;
            case PyList list:
                value = ListChanges.Contains(name) ? Undefined.Unsafe(owner, name) : name == "copy" ? Method(name, (_, renderer) => new PyList(Values.ToList(list, renderer))) : SequenceMethod(list, list.Items, name);
                return value is not null;
            case PyTuple tuple:
                value = tuple is PyGroup && name is "grouper" or "list" ? tuple.Items[name == "list" ? 1 : 0] : SequenceMethod(tuple, tuple.Items, name);
                return value is not null || (tuple is PyGroup && name == "grouper");
            case Namespace ns:
                return ns.Attributes.TryGetValue(name, out value);
            case LoopContext loop:
                (bool found, value) = loop.Attribute(name, r);
                return found;
            case Macro macro:
                value = name == "name" ? macro.Definition.Name : name == "arguments" ? new PyTuple([.. macro.Definition.Parameters]) : null;
                return name is "name" or "arguments";
            case Cycler cycler:
                value = cycler.Attribute(name);
                return value is not null || name == "current";
            case double d when name == "is_integer":
                value = Method(name, (_, _) => d == Math.Floor(d));
                return true;
            case PyRange range when name is "start" or "stop" or "step":
                value = name == "start" ? range.Start : name == "stop" ? range.Stop : range.Step;
                return true;
            default:
                return false;
        }
    }

    static Function Method(string name, Func<Arguments, Renderer, object?> body) => new(name, body, "builtin_function_or_method");

    static Function? DictMethod(PyDict dict, string name) => name switch
    {
        "get" => Method(name, (a, r) => a.Bind(name, 1, "key", "default") is var v && dict.TryGet(v[0], out object? value, r) ? value : v[1] == Arguments.Absent ? null : v[1]),
        "items" or "keys" or "values" => Method(name, (_, _) => new PyView(dict, name)),
        "copy" => Method(name, (_, r) => Globals.Dict(new Arguments([dict], []), r)),
        "fromkeys" => throw JinjaException.Unsupported("the method 'fromkeys' of a dict"),
        _ => null,
    };

    static Function? SequenceMethod(object owner, IReadOnlyList<object?> items, string name) => name switch
    {
        "count" => Method(name, (a, r) => a.Bind(name, 1, "value") is var v ? new BigInteger(items.Count(i => Comparing.Same(i, v[0], r))) : null),
        "index" => Method(name, (a, r) =>
        {
            object? wanted = a.Bind(name, 1, "value")[0];
            for (int i = 0; i < items.Count; i++)
            {
                if (Comparing.Same(items[i], wanted, r))
                {
                    return new BigInteger(i);
                }
            }

            throw JinjaException.Value(owner is PyList ? $"{Printing.Repr(wanted, r)} is not in list" : "tuple.index(x): x not in tuple");
        }),
        _ => null,
    };

    static bool TryItem(object? owner, object? key, Renderer r, out object? value)
    {
        value = null;
        if (owner is PyDict dict)
        {
            return key is not (PyList or PyDict or PySlice) && dict.TryGet(key, out value, r);
        }

        if (owner is Markup)
        {
            throw JinjaException.Unsupported("items of text that is marked as safe");
        }

        if (owner is not (string or PyList or PyTuple or PyRange) || key is not (bool or BigInteger or PySlice))
        {
            return false;
        }

        BigInteger length = Values.Length(owner, r)!.Value;
        if (key is PySlice slice)
        {
            value = Slice(owner, slice, length, r);
            return true;
        }

        BigInteger at = Numbers.ToInt(key);
        at = at.Sign < 0 ? at + length : at;
        if (at.Sign < 0 || at >= length)
        {
            return false;
        }

        value = owner is PyRange range ? range.Start + at * range.Step : owner is string s ? CodePoints.Part(s, (int)at, (int)at + 1) : owner is PyList list ? list.Items[(int)at] : ((PyTuple)owner).Items[(int)at];
        return true;
    }

    static object Slice(object owner, PySlice slice, BigInteger size, Renderer r)
    {
        BigInteger step = Bound(slice.Step, BigInteger.One);
        if (step.IsZero)
        {
            throw JinjaException.Value("slice step cannot be zero");
        }

        bool back = step.Sign < 0;
        BigInteger lowest = back ? -1 : 0, highest = back ? size - 1 : size;
        BigInteger start = Clip(slice.Start, back ? highest : lowest), stop = Clip(slice.Stop, back ? lowest : highest);
        PyRange places = new(start, stop, step);
        if (owner is PyRange range)
        {
            return new PyRange(range.Start + start * range.Step, range.Start + stop * range.Step, range.Step * step);
        }

        r.Charge((double)places.Count);
        if (owner is string text)
        {
            if (step.IsOne)
            {
                return places.Count.IsZero ? "" : CodePoints.Part(text, (int)start, (int)stop);
            }

            string[] points = [.. CodePoints.Each(text)];
            r.Charge(points.Length);
            StringBuilder made = new();
            foreach (object? place in places.Items())
            {
                made.Append(points[(int)(BigInteger)place!]);
            }

            return made.ToString();
        }

        IReadOnlyList<object?> items = owner is PyList list ? list.Items : ((PyTuple)owner).Items;
        List<object?> taken = [.. places.Items().Select(p => items[(int)(BigInteger)p!])];
        return owner is PyList ? new PyList(taken) : new PyTuple([.. taken]);

        BigInteger Clip(object? value, BigInteger otherwise)
        {
            BigInteger at = Bound(value, otherwise);
            return value is null ? otherwise : BigInteger.Max(lowest, BigInteger.Min(highest, at.Sign < 0 ? at + size : at));
        }

        static BigInteger Bound(object? value, BigInteger otherwise) => value is null ? otherwise
            : value is bool or BigInteger ? Numbers.ToInt(value)
            : throw ((value as Undefined)?.Error() ?? JinjaException.Type("slice indices must be integers or None or have an __index__ method"));
    }
}
