using System.Text;

namespace Diffract.Formats.Jinja;

abstract class Expression
{
    /// <summary>The value, within the limits.</summary>
    public object? Value(Renderer r, Scope scope)
    {
        r.Enter();
        object? value = Of(r, scope);
        r.Leave();
        return value;
    }

    protected abstract object? Of(Renderer r, Scope scope);
}

sealed class Constant(object? value) : Expression
{
    protected override object? Of(Renderer r, Scope scope) => value;
}

sealed class Name(string name) : Expression
{
    protected override object? Of(Renderer r, Scope scope) => scope.Get(name);
}

sealed class ListExpression(List<Expression> items) : Expression
{
    protected override object? Of(Renderer r, Scope scope)
    {
        r.Charge(items.Count);
        return new PyList([.. items.Select(i => i.Value(r, scope))]);
    }
}

sealed class TupleExpression(List<Expression> items) : Expression
{
    protected override object? Of(Renderer r, Scope scope)
    {
        r.Charge(items.Count);
        return new PyTuple([.. items.Select(i => i.Value(r, scope))]);
    }
}

sealed class DictExpression(List<(Expression Key, Expression Value)> items) : Expression
{
    protected override object? Of(Renderer r, Scope scope)
    {
        r.Charge(items.Count);
        PyDict made = new();
        foreach ((Expression key, Expression value) in items)
        {
            made.Set(key.Value(r, scope), value.Value(r, scope), r);
        }

        return made;
    }
}

sealed class SliceExpression(Expression? start, Expression? stop, Expression? step) : Expression
{
    protected override object? Of(Renderer r, Scope scope) => new PySlice(start?.Value(r, scope), stop?.Value(r, scope), step?.Value(r, scope));
}

sealed class Attribute(Expression owner, string name) : Expression
{
    protected override object? Of(Renderer r, Scope scope) => Attributes.Get(owner.Value(r, scope), name, r);
}

sealed class Item(Expression owner, Expression key) : Expression
{
    protected override object? Of(Renderer r, Scope scope) => Attributes.Item(owner.Value(r, scope), key.Value(r, scope), r);
}

sealed class And(Expression left, Expression right) : Expression
{
    protected override object? Of(Renderer r, Scope scope)
    {
        object? value = left.Value(r, scope);
        return Values.Truth(value) ? right.Value(r, scope) : value;
    }
}

sealed class Or(Expression left, Expression right) : Expression
{
    protected override object? Of(Renderer r, Scope scope)
    {
        object? value = left.Value(r, scope);
        return Values.Truth(value) ? value : right.Value(r, scope);
    }
}

sealed class Not(Expression inner) : Expression
{
    protected override object? Of(Renderer r, Scope scope) => !Values.Truth(inner.Value(r, scope));
}

sealed class Condition(Expression test, Expression then, Expression? otherwise, int line) : Expression
{
    protected override object? Of(Renderer r, Scope scope) => Values.Truth(test.Value(r, scope)) ? then.Value(r, scope)
        : otherwise is not null ? otherwise.Value(r, scope)
        : Undefined.Because($"the inline if-expression on line {line} evaluated to false and no else section was defined.");
}

sealed class Concat(List<Expression> parts) : Expression
{
    protected override object? Of(Renderer r, Scope scope)
    {
        StringBuilder text = new();
        foreach (object? part in parts.Select(p => p.Value(r, scope)).ToList())
        {
            text.Append(r.Made(Printing.Str(part, r)));
        }

        return text.ToString();
    }
}

sealed class Arithmetic(string op, Expression left, Expression right) : Expression
{
    protected override object? Of(Renderer r, Scope scope)
    {
        object? a = left.Value(r, scope);
        return Numbers.Binary(op, a, right.Value(r, scope), r);
    }
}

sealed class Sign(bool negative, Expression inner) : Expression
{
    protected override object? Of(Renderer r, Scope scope) => Numbers.Sign(negative, inner.Value(r, scope));
}

sealed class Comparison(Expression first, List<(string Operator, Expression Right)> rest) : Expression
{
    protected override object? Of(Renderer r, Scope scope)
    {
        object? left = first.Value(r, scope);
        foreach ((string op, Expression expression) in rest)
        {
            object? right = expression.Value(r, scope);
            if (!Comparing.Holds(op, left, right, r))
            {
                return false;
            }

            left = right;
        }

        return true;
    }
}

/// <summary>Arguments as they are written.</summary>
sealed class ArgumentList
{
    public List<Expression> Positional { get; } = [];

    public List<(string Name, Expression Value)> Keywords { get; } = [];

    public Expression? Rest { get; set; }

    public Expression? KeywordRest { get; set; }

    public Arguments Values(Renderer r, Scope scope, (string, object?)? extra = null)
    {
        List<object?> positional = [.. Positional.Select(p => p.Value(r, scope))];
        List<(string, object?)> keywords = [.. Keywords.Select(k => (k.Name, k.Value.Value(r, scope)))];
        if (extra is { } more)
        {
            keywords.Add(more);
        }

        if (Rest is not null)
        {
            positional.AddRange(Jinja.Values.Iterate(Rest.Value(r, scope), r));
        }

        if (KeywordRest is not null)
        {
            object? named = KeywordRest.Value(r, scope);
            if (named is not PyDict dict)
            {
                throw JinjaException.Type($"argument after ** must be a mapping, not {Jinja.Values.TypeName(named)}");
            }

            keywords.AddRange(dict.Items.Select(i => (i.Key as string ?? throw JinjaException.Type("keywords must be strings"), i.Value)));
        }

        r.Charge(positional.Count + keywords.Count);
        return new Arguments(positional, keywords);
    }
}

sealed class Call(Expression function, ArgumentList arguments) : Expression
{
    protected override object? Of(Renderer r, Scope scope) => With(r, scope, null);

    public object? With(Renderer r, Scope scope, (string, object?)? extra) => Callable.Invoke(function.Value(r, scope), arguments.Values(r, scope, extra), r);
}

sealed class FilterCall(Expression? value, string name, ArgumentList arguments) : Expression
{
    protected override object? Of(Renderer r, Scope scope)
    {
        // The innermost filter of a filter or set block has no value of its own.
        object? input = value is null ? scope.Get(BlockText) : value.Value(r, scope);
        if (!Filters.Has(name))
        {
            throw new JinjaException("TemplateRuntimeError", $"No filter named '{name}' found.");
        }

        return Filters.Apply(name, input, arguments.Values(r, scope), r);
    }

    // No name of a template can be this.
    const string BlockText = "{block}";

    public static object? Over(Expression filter, string text, Renderer r, Scope scope)
    {
        Scope inner = new(scope);
        inner.Set(BlockText, text);
        return filter.Value(r, inner);
    }
}

sealed class TestCall(Expression value, string name, ArgumentList arguments) : Expression
{
    protected override object? Of(Renderer r, Scope scope)
    {
        object? input = value.Value(r, scope);
        if (!Tests.Has(name))
        {
            throw new JinjaException("TemplateRuntimeError", $"No test named '{name}' found.");
        }

        return Tests.Holds(name, input, arguments.Values(r, scope), r);
    }
}
