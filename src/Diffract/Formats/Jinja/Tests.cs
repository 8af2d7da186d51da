using System.Numerics;

namespace Diffract.Formats.Jinja;

/// <summary>What may stand after <c>is</c>.</summary>
static class Tests
{
    static readonly HashSet<string> Names =
    [
        "odd", "even", "divisibleby", "defined", "undefined", "filter", "test", "none", "boolean", "false", "true", "integer", "float", "lower", "upper", "string", "mapping", "number", "sequence", "iterable",
        "callable", "sameas", "escaped", "in", "==", "eq", "equalto", "!=", "ne", ">", "gt", "greaterthan", ">=", "ge", "<", "lt", "lessthan", "<=", "le",
    ];

    public static bool Has(string name) => Names.Contains(name);

    public static bool Holds(string name, object? value, Arguments arguments, Renderer r)
    {
        if (name is "divisibleby" or "sameas" or "in" || Operator(name) is not null)
        {
            object? other = arguments.Bind("test_" + name, 1, "other")[0];
            return name switch
            {
                "divisibleby" => Rest(value, other, r) == 0,
                "sameas" => Identical(value, other),
                "in" => Comparing.Contains(other, value, r),
                _ => Comparing.Holds(Operator(name)!, value, other, r),
            };
        }

        arguments.Bind("test_" + name, 0);
        return name switch
        {
            "odd" => Rest(value, new BigInteger(2), r) == 1,
            "even" => Rest(value, new BigInteger(2), r) == 0,
            "defined" => value is not Undefined,
            "undefined" => value is Undefined,
            "filter" => value is string filter && Filters.Has(filter),
            "test" => value is string test && Has(test),
            "none" => value is null,
            "boolean" => value is bool,
            "false" => value is false,
            "true" => value is true,
            "integer" => value is BigInteger,
            "float" => value is double,
            "lower" => Strings.IsCase(Printing.Str(value, r), false),
            "upper" => Strings.IsCase(Printing.Str(value, r), true),
            "string" => value is string or Markup,
            "mapping" => value is PyDict,
            "number" => Numbers.IsNumber(value),
            "sequence" => value is string or Markup or PyList or PyTuple or PyDict or PyRange or Undefined,
            "iterable" => Values.CanIterate(value),
            "callable" => value is Callable or LoopContext or Undefined,
            _ => value is Markup,
        };
    }

    static double Rest(object? value, object? by, Renderer r) => Numbers.Binary("%", value, by, r) is var rest && Numbers.IsNumber(rest) ? Numbers.ToDouble(rest) : -1;

    static string? Operator(string name) => name switch
    {
        "==" or "eq" or "equalto" => "==",
        "!=" or "ne" => "!=",
        ">" or "gt" or "greaterthan" => ">",
        ">=" or "ge" => ">=",
        "<" or "lt" or "lessthan" => "<",
        "<=" or "le" => "<=",
        _ => null,
    };

    // Short strings and small integers are one object in Python.
    static bool Identical(object? a, object? b) => (a, b) switch
    {
        (string x, string y) => x == y,
        (BigInteger x, BigInteger y) => x == y && x >= -5 && x <= 256,
        (bool x, bool y) => x == y,
        _ => ReferenceEquals(a, b),
    };
}
