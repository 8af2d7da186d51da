using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Diffract.Cpu.Crosscoder;

/// <summary>
/// A row x as 16-bit integers: x·Scale = x̂ + r with x̂ whole and r what rounding left. The scale is chosen so that no inner product of two such rows, whole or in
/// part, can leave 32 bits: ‖x̂‖ stays below 46340, and by Cauchy-Schwarz |Σ| ≤ ‖x̂‖‖ŷ‖ &lt; 2³¹, whatever single outliers a row has.
/// </summary>
readonly struct Int16Row
{
    /// <summary>The most that ‖x·Scale‖ may be; half a unit for each element is taken off for rounding.</summary>
    const float LargestNorm = 46200;

    /// <summary>Rows of very small numbers are not scaled beyond this: products of two scales stay finite.</summary>
    const float LargestScale = 1L << 60;

    Int16Row(float scale, float norm, float residual)
    {
        Scale = scale;
        Norm = norm;
        Residual = residual;
    }

    /// <summary>A power of ten or so; exact: x̂ and r are defined by it.</summary>
    public float Scale { get; }

    /// <summary>‖x̂‖, rounded up.</summary>
    public float Norm { get; }

    /// <summary>‖r‖, rounded up.</summary>
    public float Residual { get; }

    /// <summary>Writes x̂.</summary>
    /// <param name="x">[count].</param>
    /// <param name="count">Elements.</param>
    /// <param name="target">[count rounded up to even]: the added one becomes 0.</param>
    /// <param name="row">The scale and the two norms.</param>
    /// <returns>False where x holds an infinity or NaN: then nothing is written.</returns>
    public static unsafe bool TryMake(float* x, int count, short* target, out Int16Row row)
    {
        row = default;
        int largest = LargestBits(x, count);
        if (largest >= 0x7F800000)
        {
            return false;
        }

        if ((count & 1) != 0)
        {
            target[count] = 0;
        }

        float scale = Math.Min(LargestScale, 32700 / BitConverter.Int32BitsToSingle(largest));
        float norm = MathF.Sqrt(ScaledSquares(x, count, scale));
        // Sums of squares in float32: off by less than count·2⁻²³ of themselves.
        float up = 1 + (count + 64) * 1.2e-7f;
        float room = LargestNorm - 0.5f * MathF.Sqrt(count);
        if (norm * up > room)
        {
            scale *= room / (norm * up);
        }

        (float squares, float left) = Round(x, count, scale, target);
        row = new Int16Row(scale, MathF.Sqrt(squares) * up, MathF.Sqrt(left) * up + 1e-10f);
        return true;
    }

    /// <summary>The bits of the largest |x|: as integers they are in the order of the numbers, infinities and NaN last.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    static unsafe int LargestBits(float* x, int count)
    {
        Vector256<int> sign = Vector256.Create(0x7FFFFFFF), most = Vector256<int>.Zero;
        int i = 0;
        for (; i <= count - 8; i += 8)
        {
            most = Vector256.Max(most, Vector256.Load((int*)x + i) & sign);
        }

        int largest = 0;
        for (int lane = 0; lane < 8; lane++)
        {
            largest = Math.Max(largest, most[lane]);
        }

        for (; i < count; i++)
        {
            largest = Math.Max(largest, ((int*)x)[i] & 0x7FFFFFFF);
        }

        return largest;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    static unsafe float ScaledSquares(float* x, int count, float scale)
    {
        Vector256<float> s = Vector256.Create(scale), sum0 = Vector256<float>.Zero, sum1 = Vector256<float>.Zero;
        int i = 0;
        for (; i <= count - 16; i += 16)
        {
            Vector256<float> a = Vector256.Load(x + i) * s, b = Vector256.Load(x + i + 8) * s;
            sum0 = Vector256.FusedMultiplyAdd(a, a, sum0);
            sum1 = Vector256.FusedMultiplyAdd(b, b, sum1);
        }

        float sum = Vector256.Sum(sum0 + sum1);
        for (; i < count; i++)
        {
            sum += x[i] * scale * (x[i] * scale);
        }

        return sum;
    }

    /// <summary>Writes x̂; returns ‖x̂‖² and ‖r‖².</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    static unsafe (float Squares, float Left) Round(float* x, int count, float scale, short* target)
    {
        Vector256<float> s = Vector256.Create(scale), squares = Vector256<float>.Zero, left = Vector256<float>.Zero;
        int i = 0;
        for (; i <= count - 16; i += 16)
        {
            Vector256<float> a = Vector256.Load(x + i), b = Vector256.Load(x + i + 8);
            Vector256<float> wholeA = Vector256.Round(a * s), wholeB = Vector256.Round(b * s);
            Vector256<float> restA = Vector256.FusedMultiplyAdd(a, s, -wholeA), restB = Vector256.FusedMultiplyAdd(b, s, -wholeB);
            squares = Vector256.FusedMultiplyAdd(wholeA, wholeA, squares);
            left = Vector256.FusedMultiplyAdd(restA, restA, left);
            squares = Vector256.FusedMultiplyAdd(wholeB, wholeB, squares);
            left = Vector256.FusedMultiplyAdd(restB, restB, left);
            Vector256.Narrow(Vector256.ConvertToInt32Native(wholeA), Vector256.ConvertToInt32Native(wholeB)).Store(target + i);
        }

        float sum = Vector256.Sum(squares), rest = Vector256.Sum(left);
        for (; i < count; i++)
        {
            float whole = MathF.Round(x[i] * scale);
            float r = MathF.FusedMultiplyAdd(x[i], scale, -whole);
            target[i] = (short)whole;
            sum += whole * whole;
            rest += r * r;
        }

        return (sum, rest);
    }
}
