using System.Globalization;
using System.Numerics;
using System.Text;

namespace Diffract.Formats.Jinja;

/// <summary>Python's arithmetic.</summary>
static class Numbers
{
    /// <summary>Python prints and reads no longer integers.</summary>
    public const int MaxDigits = 4300;

    // Longer integers are refused: no template needs one.
    const int MaxBits = 20_000;

    public static object? Binary(string op, object? a, object? b, Renderer r)
    {
        if (op == "%" && a is string format)
        {
            return Formatting.Percent(format, b, r);
        }

        if ((a as Undefined ?? b as Undefined) is { } undefined)
        {
            throw undefined.Error();
        }

        if (a is Markup || b is Markup)
        {
            throw JinjaException.Unsupported($"'{op}' with text that is marked as safe");
        }

        return IsNumber(a) && IsNumber(b)
            ? a is double || b is double ? (object)Real(op, ToDouble(a), ToDouble(b)) : Whole(op, ToInt(a), ToInt(b))
            : op == "+" && Sequence(a) ? Joined(a, b, r)
            : op == "*" && (Sequence(a) || Sequence(b)) ? Repeated(a, b, r)
            : throw Unfit(op == "**" ? "** or pow()" : op, a, b);
    }

    public static object? Sign(bool negative, object? value) => value switch
    {
        Undefined u => throw u.Error(),
        double d => negative ? -d : d,
        bool or BigInteger => negative ? -ToInt(value) : ToInt(value),
        _ => throw JinjaException.Type($"bad operand type for unary {(negative ? '-' : '+')}: '{Values.TypeName(value)}'"),
    };

    public static bool IsNumber(object? value) => value is bool or BigInteger or double;

    public static BigInteger ToInt(object? value) => value is bool b ? (b ? 1 : 0) : (BigInteger)value!;

    public static double ToDouble(object? value)
    {
        double number = value is double d ? d : (double)ToInt(value);
        return double.IsInfinity(number) && value is not double ? throw new JinjaException("OverflowError", "int too large to convert to float") : number;
    }

    static bool Sequence(object? value) => value is string or PyList or PyTuple;

    static JinjaException Unfit(string op, object? a, object? b) => JinjaException.Type($"unsupported operand type(s) for {op}: '{Values.TypeName(a)}' and '{Values.TypeName(b)}'");

    static object? Joined(object? a, object? b, Renderer r)
    {
        switch (a, b)
        {
            case (string x, string y):
                r.Charge(x.Length + (double)y.Length);
                return x + y;
            case (PyList x, PyList y):
                r.Charge(x.Items.Count + (double)y.Items.Count);
                return new PyList([.. x.Items, .. y.Items]);
            case (PyTuple x, PyTuple y):
                r.Charge(x.Items.Length + (double)y.Items.Length);
                return new PyTuple([.. x.Items, .. y.Items]);
            default:
                string type = Values.TypeName(a);
                throw JinjaException.Type($"can only concatenate {type} (not \"{Values.TypeName(b)}\") to {type}");
        }
    }

    static object? Repeated(object? a, object? b, Renderer r)
    {
        (object? sequence, object? times) = Sequence(a) ? (a, b) : (b, a);
        if (times is not (bool or BigInteger))
        {
            throw JinjaException.Type($"can't multiply sequence by non-int of type '{Values.TypeName(times)}'");
        }

        int size = sequence is string s ? s.Length : sequence is PyList l ? l.Items.Count : ((PyTuple)sequence!).Items.Length;
        BigInteger wanted = BigInteger.Max(0, ToInt(times));
        r.Charge((double)wanted * size);
        int count = size == 0 ? 0 : (int)wanted;
        return sequence switch
        {
            string text => new StringBuilder().Insert(0, text, count).ToString(),
            PyList list => new PyList([.. Enumerable.Repeat(list.Items, count).SelectMany(i => i)]),
            PyTuple tuple => new PyTuple([.. Enumerable.Repeat(tuple.Items, count).SelectMany(i => i)]),
            _ => null,
        };
    }

    static object Whole(string op, BigInteger a, BigInteger b)
    {
        if (b.IsZero && op is ("/" or "//" or "%"))
        {
            throw new JinjaException("ZeroDivisionError", op == "/" ? "division by zero" : "integer division or modulo by zero");
        }

        return op switch
        {
            "+" => Kept(a + b),
            "-" => Kept(a - b),
            "*" => Kept(a * b),
            "/" => ToDouble(a) / ToDouble(b),
            "//" => Floor(a, b),
            "%" => a - Floor(a, b) * b,
            _ => Power(a, b),
        };
    }

    static BigInteger Floor(BigInteger a, BigInteger b)
    {
        BigInteger quotient = BigInteger.DivRem(a, b, out BigInteger rest);
        return !rest.IsZero && rest.Sign != b.Sign ? quotient - 1 : quotient;
    }

    static object Power(BigInteger a, BigInteger b)
    {
        if (b.Sign < 0)
        {
            return Real("**", ToDouble(a), ToDouble(b));
        }

        if (BigInteger.Abs(a) <= 1)
        {
            return b.IsZero ? BigInteger.One : a.Sign < 0 && b.IsEven ? BigInteger.One : a;
        }

        return b > MaxBits || (double)b * a.GetBitLength() > MaxBits ? throw TooLong() : BigInteger.Pow(a, (int)b);
    }

    static BigInteger Kept(BigInteger value) => value.GetBitLength() > MaxBits ? throw TooLong() : value;

    static JinjaException TooLong() => JinjaException.Limit($"the template makes an integer of more than {MaxBits} bits");

    static double Real(string op, double a, double b)
    {
        if (b == 0 && op is ("/" or "//" or "%"))
        {
            throw new JinjaException("ZeroDivisionError", op == "/" ? "float division by zero" : op == "//" ? "float floor division by zero" : "float modulo");
        }

        return op switch
        {
            "+" => a + b,
            "-" => a - b,
            "*" => a * b,
            "/" => a / b,
            "//" => Math.Floor((a - Modulo(a, b)) / b + 0.25),
            "%" => Modulo(a, b),
            _ => a == 0 && b < 0 ? throw new JinjaException("ZeroDivisionError", "0.0 cannot be raised to a negative power")
                : a < 0 && b != Math.Floor(b) ? throw JinjaException.Unsupported("complex numbers")
                : Math.Pow(a, b),
        };
    }

    static double Modulo(double a, double b)
    {
        double rest = a % b;
        return rest != 0 && rest < 0 != b < 0 ? rest + b : rest;
    }

    /// <summary>Python's <c>repr</c> of a float.</summary>
    public static string Print(double value)
    {
        if (double.IsNaN(value) || double.IsInfinity(value))
        {
            return double.IsNaN(value) ? "nan" : value > 0 ? "inf" : "-inf";
        }

        string shortest = value.ToString("E16", CultureInfo.InvariantCulture);
        string round = value.ToString("R", CultureInfo.InvariantCulture);
        string digits = string.Concat(round.TakeWhile(c => c != 'E').Where(char.IsAsciiDigit)).TrimStart('0');
        digits = digits.TrimEnd('0') is { Length: > 0 } kept ? kept : "0";
        int exponent = value == 0 ? 0 : int.Parse(shortest[(shortest.IndexOf('E', StringComparison.Ordinal) + 1)..], CultureInfo.InvariantCulture);
        string sign = double.IsNegative(value) ? "-" : "";
        if (exponent is < -4 or >= 16)
        {
            return $"{sign}{digits[0]}{(digits.Length > 1 ? "." + digits[1..] : "")}e{(exponent < 0 ? '-' : '+')}{Math.Abs(exponent):00}";
        }

        return exponent < 0 ? $"{sign}0.{new string('0', -exponent - 1)}{digits}"
            : digits.Length <= exponent + 1 ? $"{sign}{digits.PadRight(exponent + 1, '0')}.0"
            : $"{sign}{digits[..(exponent + 1)]}.{digits[(exponent + 1)..]}";
    }

    public static string Print(BigInteger value)
    {
        string text = value.ToString(CultureInfo.InvariantCulture);
        return text.Length > MaxDigits + 1 ? throw JinjaException.Value($"Exceeds the limit ({MaxDigits} digits) for integer string conversion; use sys.set_int_max_str_digits() to increase the limit") : text;
    }
}
