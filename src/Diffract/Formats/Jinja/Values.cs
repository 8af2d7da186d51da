using System.Numerics;

namespace Diffract.Formats.Jinja;

/// <summary>
/// What holds for every value: None is null, then bool, BigInteger, double, string, <see cref="PyList"/>, <see cref="PyTuple"/>, <see cref="PyDict"/>, <see cref="PyRange"/>, <see cref="PyView"/>,
/// <see cref="PyIterator"/>, <see cref="Markup"/>, <see cref="Undefined"/>, <see cref="Namespace"/>, <see cref="LoopContext"/> and <see cref="Callable"/>.
/// </summary>
static class Values
{
    public static string TypeName(object? value) => value switch
    {
        null => "NoneType",
        bool => "bool",
        BigInteger => "int",
        double => "float",
        string => "str",
        PyList => "list",
        PyTuple => "tuple",
        PyDict => "dict",
        PyRange => "range",
        PyView view => "dict_" + view.Kind,
        PyIterator iterator => iterator.TypeName,
        PySlice => "slice",
        Macro => "Macro",
        Callable callable => callable.TypeName,
        _ => value.GetType().Name,
    };

    public static bool Truth(object? value) => value switch
    {
        null or Undefined => false,
        bool b => b,
        BigInteger i => !i.IsZero,
        double d => d != 0,
        string s => s.Length > 0,
        Markup m => m.Text.Length > 0,
        PyList l => l.Items.Count > 0,
        PyTuple t => t.Items.Length > 0,
        PyDict d => d.Items.Count > 0,
        PyRange r => !r.Count.IsZero,
        PyView v => v.Dict.Items.Count > 0,
        _ => true,
    };

    public static bool CanIterate(object? value) => value is string or Markup or PyList or PyTuple or PyDict or PyRange or PyView or PyIterator or Undefined or LoopContext;

    /// <summary>The items; each is a step.</summary>
    /// <exception cref="JinjaException">It has none.</exception>
    public static IEnumerable<object?> Iterate(object? value, Renderer r)
    {
        IEnumerable<object?> items = value switch
        {
            string s => CodePoints.Each(s),
            Markup m => CodePoints.Each(m.Text),
            PyList l => l.Items,
            PyTuple t => t.Items,
            PyDict d => d.Items.Select(i => i.Key),
            PyRange range => range.Items(),
            PyView v => v.Items(),
            PyIterator i => i.Rest(),
            Undefined => [],
            LoopContext => throw JinjaException.Unsupported("a loop over loop"),
            _ => throw JinjaException.Type($"'{TypeName(value)}' object is not iterable"),
        };
        return Counted(items, r);
    }

    static IEnumerable<object?> Counted(IEnumerable<object?> items, Renderer r)
    {
        foreach (object? item in items)
        {
            r.Step();
            yield return item;
        }
    }

    public static List<object?> ToList(object? value, Renderer r)
    {
        List<object?> list = [];
        foreach (object? item in Iterate(value, r))
        {
            r.Charge(1);
            list.Add(item);
        }

        return list;
    }

    /// <summary>Python's <c>len</c>, or null where it has none.</summary>
    public static BigInteger? Length(object? value, Renderer r) => value switch
    {
        string s => CodePoints.Count(s),
        Markup m => CodePoints.Count(m.Text),
        PyList l => l.Items.Count,
        PyTuple t => t.Items.Length,
        PyDict d => d.Items.Count,
        PyRange range => range.Count,
        PyView v => v.Dict.Items.Count,
        Undefined => 0,
        LoopContext loop => loop.Length(r),
        _ => null,
    };

    /// <summary>An argument that must be a whole number.</summary>
    public static int Int(object? value) => value switch
    {
        bool b => b ? 1 : 0,
        BigInteger i => i > int.MaxValue ? int.MaxValue : i < int.MinValue + 1 ? int.MinValue + 1 : (int)i,
        Undefined u => throw u.Error(),
        _ => throw JinjaException.Type($"'{TypeName(value)}' object cannot be interpreted as an integer"),
    };
}

sealed class PyList(List<object?> items)
{
    public List<object?> Items => items;
}

class PyTuple(params object?[] items)
{
    public object?[] Items => items;
}

/// <summary>What <c>groupby</c> makes.</summary>
sealed class PyGroup(object? grouper, PyList list) : PyTuple(grouper, list);

sealed record PySlice(object? Start, object? Stop, object? Step);

/// <summary>Text that <c>safe</c> or <c>escape</c> has marked.</summary>
sealed record Markup(string Text);

sealed class Namespace
{
    public Dictionary<string, object?> Attributes { get; } = [];
}

/// <summary>A dict in the order of insertion; 1, 1.0 and True are one key.</summary>
sealed class PyDict
{
    readonly Dictionary<DictKey, int> _places = [];

    public List<(object? Key, object? Value)> Items { get; } = [];

    public void Set(object? key, object? value, Renderer? r = null)
    {
        DictKey at = new(key, r);
        if (_places.TryGetValue(at, out int place))
        {
            Items[place] = (Items[place].Key, value);
            return;
        }

        _places[at] = Items.Count;
        Items.Add((key, value));
    }

    public bool TryGet(object? key, out object? value, Renderer? r = null)
    {
        bool found = _places.TryGetValue(new DictKey(key, r), out int place);
        value = found ? Items[place].Value : null;
        return found;
    }
}

/// <summary>A value as a key of a dict.</summary>
readonly struct DictKey : IEquatable<DictKey>
{
    readonly object? _value;
    readonly int _hash;
    readonly Renderer? _renderer;

    public DictKey(object? value, Renderer? r) => (_value, _renderer, _hash) = (value, r, Hash(value, r));

    public bool Equals(DictKey other) => _hash == other._hash && Comparing.Same(_value, other._value, _renderer);

    public override bool Equals(object? obj) => obj is DictKey key && Equals(key);

    public override int GetHashCode() => _hash;

    static int Hash(object? value, Renderer? r)
    {
        r?.Enter();
        int hash = value switch
        {
            null => 0,
            bool b => BigInteger.One.GetHashCode() * (b ? 1 : 0),
            BigInteger i => i.IsZero ? 0 : i.GetHashCode(),
            double d => d == Math.Floor(d) && !double.IsInfinity(d) ? Hash(new BigInteger(d), null) : d.GetHashCode(),
            string s => s.GetHashCode(StringComparison.Ordinal),
            PyTuple t => t.Items.Aggregate(17, (h, item) => HashCode.Combine(h, Hash(item, r))),
            PyList or PyDict or PySlice => throw JinjaException.Type($"unhashable type: '{Values.TypeName(value)}'"),
            Undefined => 1,
            _ => System.Runtime.CompilerServices.RuntimeHelpers.GetHashCode(value),
        };
        r?.Leave();
        return hash;
    }
}

sealed class PyRange(BigInteger start, BigInteger stop, BigInteger step)
{
    public BigInteger Start => start;

    public BigInteger Stop => stop;

    public BigInteger Step => step;

    public BigInteger Count { get; } = BigInteger.Max(0, step.Sign > 0 ? (stop - start + step - 1) / step : (start - stop - step - 1) / -step);

    public IEnumerable<object?> Items()
    {
        for (BigInteger i = 0; i < Count; i++)
        {
            yield return start + i * step;
        }
    }
}

/// <summary><c>keys()</c>, <c>values()</c> or <c>items()</c> of a dict.</summary>
sealed class PyView(PyDict dict, string kind)
{
    public PyDict Dict => dict;

    public string Kind => kind;

    public IEnumerable<object?> Items() => dict.Items.Select(i => kind == "keys" ? i.Key : kind == "values" ? i.Value : new PyTuple(i.Key, i.Value));
}

/// <summary>Items that are made as they are asked for, once.</summary>
sealed class PyIterator(string typeName, IEnumerable<object?> items)
{
    readonly IEnumerator<object?> _items = items.GetEnumerator();

    public string TypeName => typeName;

    public IEnumerable<object?> Rest()
    {
        while (_items.MoveNext())
        {
            yield return _items.Current;
        }
    }
}

/// <summary>What a missing name, attribute or item is: prints as nothing, is false and empty; any other use is an error.</summary>
sealed class Undefined
{
    static readonly object Missing = new();
    readonly string? _hint;
    readonly object? _owner = Missing;
    readonly object? _name;
    readonly string _kind = "UndefinedError";

    public Undefined(string name) => _name = name;

    public Undefined(object? owner, object? name) => (_owner, _name) = (owner, name);

    Undefined(string hint, string kind) => (_hint, _kind) = (hint, kind);

    public static Undefined Because(string hint) => new(hint, "UndefinedError");

    public static Undefined Unsafe(object? owner, string name) => new($"access to attribute '{name}' of '{Values.TypeName(owner)}' object is unsafe.", "SecurityError");

    public JinjaException Error()
    {
        string owner = _owner switch
        {
            null => "None",
            Namespace => "jinja2.utils.Namespace object",
            _ => Values.TypeName(_owner) + " object",
        };
        return new JinjaException(_kind, _hint
            ?? (_owner == Missing ? $"'{_name}' is undefined"
            : _name is string name ? $"'{owner}' has no attribute '{name}'"
            : $"{owner} has no element {Printing.Repr(_name, null)}"));
    }
}
