using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Diffract.Cpu.Transformer;

/// <summary>
/// Exponential and hyperbolic tangent on eight floats or four doubles, by polynomials, so that every path gives the same bits. Errors are measured in the kernels' tests.
/// </summary>
static class VectorMath
{
    /// <summary>Adding and subtracting it rounds a single of moderate size to an integer, whose lowest bits then stand in the sum's lowest bits.</summary>
    const float RoundSingle = 12582912f;

    const double RoundDouble = 6755399441055744d;

    /// <summary>Below this e^x is less than the smallest normal single.</summary>
    const float LowestSingle = -87.33f;

    /// <summary>e^x for x ≤ 88, at most 2 units in the last place off; 0 below -87.33, e^88 above 88.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Exp(Vector256<float> x)
    {
        Vector256<float> bounded = Clamp(x, LowestSingle, 88f);
        Vector256<float> shifted = Vector256.FusedMultiplyAdd(bounded, Vector256.Create(1.44269504f), Vector256.Create(RoundSingle));
        Vector256<float> n = shifted - Vector256.Create(RoundSingle);
        Vector256<float> r = Vector256.FusedMultiplyAdd(n, Vector256.Create(-0.693359375f), bounded);
        r = Vector256.FusedMultiplyAdd(n, Vector256.Create(2.12194440e-4f), r);
        Vector256<float> p = Vector256.FusedMultiplyAdd(Vector256.Create(1.9875691500e-4f), r, Vector256.Create(1.3981999507e-3f));
        p = Vector256.FusedMultiplyAdd(p, r, Vector256.Create(8.3334519073e-3f));
        p = Vector256.FusedMultiplyAdd(p, r, Vector256.Create(4.1665795894e-2f));
        p = Vector256.FusedMultiplyAdd(p, r, Vector256.Create(1.6666665459e-1f));
        p = Vector256.FusedMultiplyAdd(p, r, Vector256.Create(5.0000001201e-1f));
        p = Vector256.FusedMultiplyAdd(p, r * r, r) + Vector256<float>.One;
        Vector256<float> power = (Vector256.ShiftLeft(shifted.AsInt32(), 23) + Vector256.Create(0x3F800000)).AsSingle();
        return Vector256.AndNot(p * power, Vector256.LessThan(x, Vector256.Create(LowestSingle)));
    }

    /// <summary>
    /// Φ(x), the share of a normal distribution below x: ½ erfc(-x/√2). The tail is ½t·e^(-x²/2 + p(t)), t = 1/(1 + ½|x|/√2), with Chebyshev's fit of erfc whose relative error stays below 1.2e-7
    /// everywhere (Numerical Recipes, 6.2); so small values keep their digits.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> NormalShare(Vector256<float> x)
    {
        Vector256<float> t = Vector256<float>.One / Vector256.FusedMultiplyAdd(Vector256.Abs(x), Vector256.Create(0.353553391f), Vector256<float>.One);
        Vector256<float> p = Vector256.FusedMultiplyAdd(t, Vector256.Create(0.17087277f), Vector256.Create(-0.82215223f));
        p = Vector256.FusedMultiplyAdd(p, t, Vector256.Create(1.48851587f));
        p = Vector256.FusedMultiplyAdd(p, t, Vector256.Create(-1.13520398f));
        p = Vector256.FusedMultiplyAdd(p, t, Vector256.Create(0.27886807f));
        p = Vector256.FusedMultiplyAdd(p, t, Vector256.Create(-0.18628806f));
        p = Vector256.FusedMultiplyAdd(p, t, Vector256.Create(0.09678418f));
        p = Vector256.FusedMultiplyAdd(p, t, Vector256.Create(0.37409196f));
        p = Vector256.FusedMultiplyAdd(p, t, Vector256.Create(1.00002368f));
        p = Vector256.FusedMultiplyAdd(p, t, Vector256.Create(-1.26551223f));
        Vector256<float> tail = Vector256.Create(0.5f) * t * Exp(Vector256.FusedMultiplyAdd(x * Vector256.Create(-0.5f), x, p));
        return Vector256.ConditionalSelect(Vector256.LessThan(x, Vector256<float>.Zero), tail, Vector256<float>.One - tail);
    }

    /// <summary>tanh x, at most 4 units in the last place off: a quotient of polynomials, odd by even.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Tanh(Vector256<float> x)
    {
        Vector256<float> bounded = Clamp(x, -7.90531110763549805f, 7.90531110763549805f);
        Vector256<float> square = bounded * bounded;
        Vector256<float> p = Vector256.FusedMultiplyAdd(square, Vector256.Create(-2.76076847742355e-16f), Vector256.Create(2.00018790482477e-13f));
        p = Vector256.FusedMultiplyAdd(square, p, Vector256.Create(-8.60467152213735e-11f));
        p = Vector256.FusedMultiplyAdd(square, p, Vector256.Create(5.12229709037114e-08f));
        p = Vector256.FusedMultiplyAdd(square, p, Vector256.Create(1.48572235717979e-05f));
        p = Vector256.FusedMultiplyAdd(square, p, Vector256.Create(6.37261928875436e-04f));
        p = Vector256.FusedMultiplyAdd(square, p, Vector256.Create(4.89352455891786e-03f));
        Vector256<float> q = Vector256.FusedMultiplyAdd(square, Vector256.Create(1.19825839466702e-06f), Vector256.Create(1.18534705686654e-04f));
        q = Vector256.FusedMultiplyAdd(square, q, Vector256.Create(2.26843463243900e-03f));
        q = Vector256.FusedMultiplyAdd(square, q, Vector256.Create(4.89352518554385e-03f));
        return bounded * p / q;
    }

    /// <summary>e^x in double for x ≤ 0, relative error below 1e-15; 0 below -708.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<double> Exp(Vector256<double> x)
    {
        Vector256<double> bounded = Vector256.MaxNative(Vector256.Create(-708d), x);
        Vector256<double> shifted = Vector256.FusedMultiplyAdd(bounded, Vector256.Create(1.4426950408889634), Vector256.Create(RoundDouble));
        Vector256<double> n = shifted - Vector256.Create(RoundDouble);
        Vector256<double> r = Vector256.FusedMultiplyAdd(n, Vector256.Create(-0.693147180369123816490), bounded);
        r = Vector256.FusedMultiplyAdd(n, Vector256.Create(-1.90821492927058770002e-10), r);
        // Σ rⁿ/n! to n = 12, in pairs of pairs: a shorter chain than term after term.
        Vector256<double> r2 = r * r, r4 = r2 * r2;
        Vector256<double> p0 = Vector256.FusedMultiplyAdd(Pair(r, 1 / 2d, 1 / 6d), r2, Vector256<double>.One + r);
        Vector256<double> p4 = Vector256.FusedMultiplyAdd(Pair(r, 1 / 720d, 1 / 5040d), r2, Pair(r, 1 / 24d, 1 / 120d));
        Vector256<double> p8 = Vector256.FusedMultiplyAdd(Pair(r, 1 / 3628800d, 1 / 39916800d), r2, Pair(r, 1 / 40320d, 1 / 362880d));
        p8 = Vector256.FusedMultiplyAdd(Vector256.Create(1 / 479001600d), r4, p8);
        Vector256<double> p = Vector256.FusedMultiplyAdd(Vector256.FusedMultiplyAdd(p8, r4, p4), r4, p0);
        Vector256<double> power = (Vector256.ShiftLeft(shifted.AsInt64(), 52) + Vector256.Create(0x3FF0000000000000L)).AsDouble();
        return Vector256.AndNot(p * power, Vector256.LessThan(x, Vector256.Create(-708d)));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static Vector256<double> Pair(Vector256<double> r, double constant, double linear)
        => Vector256.FusedMultiplyAdd(Vector256.Create(linear), r, Vector256.Create(constant));

    /// <summary>NaN stays NaN: of an instruction's two operands the second is kept when they cannot be compared. (The portable Min and Max take several instructions to sort that out.)</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static Vector256<float> Clamp(Vector256<float> x, float low, float high)
        => Vector256.MinNative(Vector256.Create(high), Vector256.MaxNative(Vector256.Create(low), x));

    /// <summary>The eight lanes added up, always in the same order.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Sum(Vector256<float> v)
    {
        Vector128<float> four = v.GetLower() + v.GetUpper();
        return four.GetElement(0) + four.GetElement(2) + (four.GetElement(1) + four.GetElement(3));
    }

    /// <summary>The four lanes added up, always in the same order.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static double Sum(Vector256<double> v)
    {
        Vector128<double> two = v.GetLower() + v.GetUpper();
        return two.GetElement(0) + two.GetElement(1);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Max(Vector256<float> v)
    {
        Vector128<float> four = Vector128.MaxNative(v.GetLower(), v.GetUpper());
        return Math.Max(Math.Max(four.GetElement(0), four.GetElement(2)), Math.Max(four.GetElement(1), four.GetElement(3)));
    }
}
