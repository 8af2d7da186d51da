using System.Numerics;

namespace Diffract.Formats.Jinja;

/// <summary>Arguments of a call.</summary>
sealed class Arguments(List<object?> positional, List<(string Name, object? Value)> keywords)
{
    public static readonly object Absent = new();

    public List<object?> Positional => positional;

    public List<(string Name, object? Value)> Keywords => keywords;

    /// <summary>The arguments in the order of <paramref name="names"/>; those not given are <see cref="Absent"/>.</summary>
    /// <param name="function">Name for the errors.</param>
    /// <param name="required">How many must be given.</param>
    /// <param name="names">Every parameter.</param>
    public object?[] Bind(string function, int required, params string[] names)
    {
        if (positional.Count > names.Length)
        {
            throw JinjaException.Type($"{function}() takes {(required == names.Length ? "" : $"from {required} to ")}{names.Length} positional argument{(names.Length == 1 ? "" : "s")} but {positional.Count} {(positional.Count == 1 ? "was" : "were")} given");
        }

        object?[] bound = new object?[names.Length];
        Array.Fill(bound, Absent);
        positional.CopyTo(bound, 0);
        foreach ((string name, object? value) in keywords)
        {
            int at = Array.IndexOf(names, name);
            if (at < 0 || bound[at] != Absent)
            {
                throw JinjaException.Type(at < 0 ? $"{function}() got an unexpected keyword argument '{name}'" : $"{function}() got multiple values for argument '{name}'");
            }

            bound[at] = value;
        }

        int missing = Array.IndexOf(bound, Absent, 0, required);
        return missing >= 0 ? throw JinjaException.Type($"{function}() missing 1 required positional argument: '{names[missing]}'") : bound;
    }

    public static T Or<T>(object? value, T otherwise) => value == Absent ? otherwise : value is T typed ? typed : throw JinjaException.Type($"an argument is of type {Values.TypeName(value)}");

    public static bool Flag(object? value, bool otherwise = false) => value == Absent ? otherwise : Values.Truth(value);

    public static int Int(object? value, int otherwise) => value == Absent ? otherwise : Values.Int(value);
}

abstract class Callable
{
    public virtual string TypeName => "builtin_function_or_method";

    public abstract string Printed { get; }

    public abstract object? Call(Arguments arguments, Renderer r);

    public static object? Invoke(object? function, Arguments arguments, Renderer r) => function switch
    {
        Callable callable => callable.Call(arguments, r),
        LoopContext loop => loop.Recurse(arguments, r),
        Undefined undefined => throw undefined.Error(),
        _ => throw JinjaException.Type($"'{Values.TypeName(function)}' object is not callable"),
    };
}

/// <summary>A function of the sandbox, or a method with its object.</summary>
sealed class Function(string name, Func<Arguments, Renderer, object?> body, string type = "function") : Callable
{
    public override string TypeName => type;

    public override string Printed => $"<{type} {name}>";

    public override object? Call(Arguments arguments, Renderer r) => body(arguments, r);
}

/// <summary>What a macro or the body of a call block says.</summary>
sealed record MacroDefinition(string? Name, List<string> Parameters, List<Expression> Defaults, List<Statement> Body)
{
    public bool UsesCaller { get; init; }

    public bool UsesKeywords { get; init; }

    public bool UsesRest { get; init; }
}

/// <summary>A macro in the scope that it was defined in.</summary>
sealed class Macro(MacroDefinition definition, Scope scope) : Callable
{
    public MacroDefinition Definition => definition;

    public override string TypeName => "Macro";

    public override string Printed => $"<Macro {(definition.Name is null ? "anonymous" : $"'{definition.Name}'")}>";

    public override object? Call(Arguments arguments, Renderer r)
    {
        List<string> parameters = definition.Parameters;
        Scope inner = new(scope);
        List<(string Name, object? Value)> keywords = [.. arguments.Keywords];
        int given = Math.Min(parameters.Count, arguments.Positional.Count);
        for (int i = 0; i < given; i++)
        {
            inner.Set(parameters[i], arguments.Positional[i]);
        }

        List<int> missing = [];
        for (int i = given; i < parameters.Count; i++)
        {
            int at = keywords.FindIndex(k => k.Name == parameters[i]);
            if (at < 0)
            {
                missing.Add(i);
                continue;
            }

            inner.Set(parameters[i], keywords[at].Value);
            keywords.RemoveAt(at);
        }

        Special(arguments, keywords, inner);
        foreach (int i in missing)
        {
            int at = i - parameters.Count + definition.Defaults.Count;
            inner.Set(parameters[i], at >= 0 ? definition.Defaults[at].Value(r, inner) : Undefined.Because($"parameter '{parameters[i]}' was not provided"));
        }

        r.Enter();
        string text = r.Capture(definition.Body, inner, out _)!;
        r.Leave();
        return text;
    }

    void Special(Arguments arguments, List<(string Name, object? Value)> keywords, Scope inner)
    {
        int parameters = definition.Parameters.Count;
        if (definition.UsesCaller)
        {
            int at = keywords.FindIndex(k => k.Name == "caller");
            inner.Set("caller", at < 0 ? Undefined.Because("No caller defined") : keywords[at].Value);
            if (at >= 0)
            {
                keywords.RemoveAt(at);
            }
        }

        if (definition.UsesKeywords)
        {
            PyDict rest = new();
            keywords.ForEach(k => rest.Set(k.Name, k.Value));
            inner.Set("kwargs", rest);
        }
        else if (keywords.Count > 0)
        {
            string name = definition.Name is null ? "None" : $"'{definition.Name}'";
            throw JinjaException.Type(keywords.Any(k => k.Name == "caller")
                ? $"macro {name} was invoked with two values for the special caller argument. This is most likely a bug."
                : $"macro {name} takes no keyword argument '{keywords[0].Name}'");
        }

        if (definition.UsesRest)
        {
            inner.Set("varargs", new PyTuple([.. arguments.Positional.Skip(parameters)]));
        }
        else if (arguments.Positional.Count > parameters)
        {
            throw JinjaException.Type($"macro {(definition.Name is null ? "None" : $"'{definition.Name}'")} takes not more than {parameters} argument(s)");
        }
    }
}

/// <summary>The variable <c>loop</c>. It looks ahead only when it is asked to.</summary>
sealed class LoopContext(object? source, IEnumerator<object?> items, bool whole, int depth0, Func<object?, string>? recurse)
{
    static readonly object Missing = new();
    IEnumerator<object?> _items = items;
    object? _after = Missing;
    object? _before = Missing;
    object? _changed = Missing;
    BigInteger? _length;
    int _index0 = -1;

    public object? Current { get; private set; } = Missing;

    public bool Advance(Renderer r)
    {
        object? next = Peek();
        if (next == Missing)
        {
            return false;
        }

        (_before, Current, _after) = (Current, next, Missing);
        _index0++;
        r.Step();
        return true;
    }

    object? Peek()
    {
        if (_after == Missing && _items.MoveNext())
        {
            _after = _items.Current;
        }

        return _after;
    }

    public BigInteger Length(Renderer r)
    {
        if (_length is null && whole && source is not PyIterator)
        {
            _length = Values.Length(source, r);
        }

        if (_length is null)
        {
            List<object?> rest = [];
            while (_items.MoveNext())
            {
                r.Charge(1);
                rest.Add(_items.Current);
            }

            _items = rest.GetEnumerator();
            _length = rest.Count + _index0 + 1 + (_after == Missing ? 0 : 1);
        }

        return _length.Value;
    }

    /// <summary>An attribute, or null where there is no such.</summary>
    public (bool Found, object? Value) Attribute(string name, Renderer r) => name switch
    {
        "index" => (true, new BigInteger(_index0 + 1)),
        "index0" => (true, new BigInteger(_index0)),
        "revindex" => (true, Length(r) - _index0),
        "revindex0" => (true, Length(r) - _index0 - 1),
        "first" => (true, _index0 == 0),
        "last" => (true, Peek() == Missing),
        "length" => (true, Length(r)),
        "depth" => (true, new BigInteger(depth0 + 1)),
        "depth0" => (true, new BigInteger(depth0)),
        "previtem" => (true, _index0 == 0 ? Undefined.Because("there is no previous item") : _before),
        "nextitem" => (true, Peek() is var next && next == Missing ? Undefined.Because("there is no next item") : next),
        "cycle" => (true, new Function("cycle", (a, _) => a.Positional.Count == 0 ? throw JinjaException.Type("no items for cycling given") : a.Positional[_index0 % a.Positional.Count], "method")),
        "changed" => (true, new Function("changed", (a, renderer) => Changed(new PyTuple([.. a.Positional]), renderer), "method")),
        _ => (false, null),
    };

    bool Changed(PyTuple value, Renderer r)
    {
        bool changed = _changed == Missing || !Comparing.Same(_changed, value, r);
        _changed = value;
        return changed;
    }

    public string Recurse(Arguments arguments, Renderer r)
    {
        object? inner = arguments.Bind("__call__", 1, "iterable")[0];
        r.Enter();
        string text = recurse is null ? throw JinjaException.Type("The loop must have the 'recursive' marker to be called recursively.") : recurse(inner);
        r.Leave();
        return text;
    }

    public string Printed(Renderer r) => $"<LoopContext {_index0 + 1}/{Length(r)}>";
}
