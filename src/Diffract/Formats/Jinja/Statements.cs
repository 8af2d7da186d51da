namespace Diffract.Formats.Jinja;

/// <summary>Where to go on after a statement.</summary>
enum Flow
{
    Next,
    Break,
    Continue,
}

/// <summary>Names and values; what is not here is looked for outside, at the time of the look.</summary>
sealed class Scope(Scope? outer)
{
    readonly Dictionary<string, object?> _values = [];

    public void Set(string name, object? value) => _values[name] = value;

    public object? Get(string name)
    {
        for (Scope? scope = this; scope is not null; scope = scope.Outer)
        {
            if (scope._values.TryGetValue(name, out object? value))
            {
                return value;
            }
        }

        return new Undefined(name);
    }

    Scope? Outer => outer;
}

abstract class Statement
{
    public abstract Flow Run(Renderer r, Scope scope);

    public static Flow Run(List<Statement> body, Renderer r, Scope scope)
    {
        r.Enter();
        Flow flow = Flow.Next;
        for (int i = 0; i < body.Count && flow == Flow.Next; i++)
        {
            r.Step();
            flow = body[i].Run(r, scope);
        }

        r.Leave();
        return flow;
    }
}

sealed class Data(string text) : Statement
{
    public override Flow Run(Renderer r, Scope scope)
    {
        r.Write(text);
        return Flow.Next;
    }
}

sealed class Print(Expression value) : Statement
{
    public override Flow Run(Renderer r, Scope scope)
    {
        r.Write(Printing.Str(value.Value(r, scope), r));
        return Flow.Next;
    }
}

sealed class PrintTag(List<Expression> parts) : Statement
{
    public override Flow Run(Renderer r, Scope scope)
    {
        parts.ForEach(p => r.Write(Printing.Str(p.Value(r, scope), r)));
        return Flow.Next;
    }
}

sealed class LoopControl(Flow flow) : Statement
{
    public override Flow Run(Renderer r, Scope scope) => flow;
}

sealed class If(List<(Expression Test, List<Statement> Body)> branches, List<Statement> otherwise) : Statement
{
    public override Flow Run(Renderer r, Scope scope)
    {
        foreach ((Expression test, List<Statement> body) in branches)
        {
            if (Values.Truth(test.Value(r, scope)))
            {
                return Run(body, r, scope);
            }
        }

        return Run(otherwise, r, scope);
    }
}

sealed class For(Target target, Expression items, Expression? test, bool recursive, List<Statement> body, List<Statement> otherwise) : Statement
{
    public override Flow Run(Renderer r, Scope scope)
    {
        object? value = items.Value(r, scope);
        if (!recursive)
        {
            return Loop(r, scope, value, 0);
        }

        r.Write(Captured(r, scope, value, 0));
        return Flow.Next;
    }

    string Captured(Renderer r, Scope scope, object? value, int depth) => r.Capture([new Again(this, value, depth)], scope, out _)!;

    Flow Loop(Renderer r, Scope scope, object? value, int depth)
    {
        LoopContext loop = new(value, Chosen(r, scope, value), test is null, depth, recursive ? inner => Captured(r, scope, inner, depth + 1) : null);
        bool empty = true;
        while (loop.Advance(r))
        {
            Scope inner = new(scope);
            inner.Set("loop", loop);
            target.Assign(r, inner, loop.Current);
            Flow flow = Run(body, r, inner);
            if (flow == Flow.Break)
            {
                break;
            }

            // As in jinja2, only a body that was run to its end counts.
            empty &= flow != Flow.Next;
        }

        return empty && otherwise.Count > 0 ? Run(otherwise, r, new Scope(scope)) : Flow.Next;
    }

    IEnumerator<object?> Chosen(Renderer r, Scope scope, object? value)
    {
        IEnumerable<object?> all = Values.Iterate(value, r);
        return (test is null ? all : all.Where(item =>
        {
            Scope inner = new(scope);
            target.Assign(r, inner, item);
            return Values.Truth(test.Value(r, inner));
        })).GetEnumerator();
    }

    sealed class Again(For loop, object? value, int depth) : Statement
    {
        public override Flow Run(Renderer r, Scope scope) => loop.Loop(r, scope, value, depth);
    }
}

sealed class Assign(Target target, Expression value) : Statement
{
    public override Flow Run(Renderer r, Scope scope)
    {
        target.Assign(r, scope, value.Value(r, scope));
        return Flow.Next;
    }
}

sealed class AssignBlock(Target target, Expression? filter, List<Statement> body) : Statement
{
    public override Flow Run(Renderer r, Scope scope)
    {
        if (r.Capture(body, new Scope(scope), out Flow flow) is not { } text)
        {
            return flow;
        }

        target.Assign(r, scope, filter is null ? text : FilterCall.Over(filter, text, r, scope));
        return Flow.Next;
    }
}

sealed class FilterBlock(Expression filter, List<Statement> body) : Statement
{
    public override Flow Run(Renderer r, Scope scope)
    {
        if (r.Capture(body, new Scope(scope), out Flow flow) is not { } text)
        {
            return flow;
        }

        r.Write(Printing.Str(FilterCall.Over(filter, text, r, scope), r));
        return Flow.Next;
    }
}

sealed class With(List<(Target Name, Expression Value)> values, List<Statement> body) : Statement
{
    public override Flow Run(Renderer r, Scope scope)
    {
        Scope inner = new(scope);
        foreach ((Target name, Expression value) in values)
        {
            name.Assign(r, inner, value.Value(r, scope));
        }

        return Run(body, r, inner);
    }
}

sealed class Generation(List<Statement> body) : Statement
{
    public override Flow Run(Renderer r, Scope scope)
    {
        string text = r.Capture(body, new Scope(scope), out _)!;
        r.Generated(text);
        r.Write(text);
        return Flow.Next;
    }
}

sealed class MacroTag(string name, MacroDefinition definition) : Statement
{
    public override Flow Run(Renderer r, Scope scope)
    {
        scope.Set(name, new Macro(definition, scope));
        return Flow.Next;
    }
}

sealed class CallBlock(Call call, MacroDefinition definition) : Statement
{
    public override Flow Run(Renderer r, Scope scope)
    {
        r.Write(Printing.Str(call.With(r, scope, ("caller", new Macro(definition, scope))), r));
        return Flow.Next;
    }
}

/// <summary>A name, an attribute of a namespace, or several targets to unpack to.</summary>
sealed class Target(string? name, string? attribute, List<Target>? parts)
{
    public IEnumerable<string> Names => parts is null ? [name!] : parts.SelectMany(p => p.Names);

    public void Assign(Renderer r, Scope scope, object? value)
    {
        if (parts is not null)
        {
            Unpack(r, scope, value);
        }
        else if (attribute is null)
        {
            scope.Set(name!, value);
        }
        else
        {
            if (scope.Get(name!) is not Namespace ns)
            {
                throw new JinjaException("TemplateRuntimeError", "cannot assign attribute on non-namespace object");
            }

            ns.Attributes[attribute] = value;
        }
    }

    void Unpack(Renderer r, Scope scope, object? value)
    {
        if (!Values.CanIterate(value))
        {
            throw JinjaException.Type($"cannot unpack non-iterable {Values.TypeName(value)} object");
        }

        List<object?> items = [.. Values.Iterate(value, r).Take(parts!.Count + 1)];
        if (items.Count != parts.Count)
        {
            throw JinjaException.Value(items.Count > parts.Count ? $"too many values to unpack (expected {parts.Count})" : $"not enough values to unpack (expected {parts.Count}, got {items.Count})");
        }

        for (int i = 0; i < items.Count; i++)
        {
            parts[i].Assign(r, scope, items[i]);
        }
    }
}
