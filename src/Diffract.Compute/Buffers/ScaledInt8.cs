using System.Runtime.Intrinsics;

namespace Diffract.Compute.Buffers;

/// <summary>Eight-bit codes with one scale for a row: a value is code · scale, with codes from -127 to 127 and scale = max|x| / 127 in float32.</summary>
public static class ScaledInt8
{
    const float Largest = 127;

    /// <summary>The scale of a row. 0 where all values are 0 or too small for a scale; infinite or NaN where a value is.</summary>
    public static float Scale(ReadOnlySpan<float> values)
    {
        Vector256<float> most = Vector256<float>.Zero;
        int i = 0;
        for (; i <= values.Length - Vector256<float>.Count; i += Vector256<float>.Count)
        {
            most = Vector256.Max(most, Vector256.Abs(Vector256.Create(values[i..])));
        }

        float max = 0;
        for (int lane = 0; lane < Vector256<float>.Count; lane++)
        {
            max = MathF.Max(max, most[lane]);
        }

        for (; i < values.Length; i++)
        {
            max = MathF.Max(max, MathF.Abs(values[i]));
        }

        return max / Largest;
    }

    /// <summary>Codes of finite values: x / scale, rounded to nearest, ties to even. All 0 under a scale of 0.</summary>
    public static void Round(ReadOnlySpan<float> source, float scale, Span<sbyte> target)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(target.Length, source.Length);
        if (scale == 0)
        {
            target[..source.Length].Clear();
            return;
        }

        int i = 0, step = Vector256<float>.Count;
        for (; i <= source.Length - Vector256<sbyte>.Count; i += Vector256<sbyte>.Count)
        {
            Vector256<short> lower = Vector256.Narrow(Code(source[i..], scale), Code(source[(i + step)..], scale));
            Vector256<short> upper = Vector256.Narrow(Code(source[(i + 2 * step)..], scale), Code(source[(i + 3 * step)..], scale));
            Vector256.Narrow(lower, upper).CopyTo(target[i..]);
        }

        for (; i < source.Length; i++)
        {
            target[i] = (sbyte)Math.Clamp(MathF.Round(source[i] / scale, MidpointRounding.ToEven), -Largest, Largest);
        }
    }

    /// <summary>The values that the codes stand for: one product each, rounded to float32.</summary>
    public static void Widen(ReadOnlySpan<sbyte> source, float scale, Span<float> target)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(target.Length, source.Length);
        int i = 0, step = Vector256<float>.Count;
        Vector256<float> scales = Vector256.Create(scale);
        for (; i <= source.Length - Vector256<sbyte>.Count; i += Vector256<sbyte>.Count)
        {
            (Vector256<short> lower, Vector256<short> upper) = Vector256.Widen(Vector256.Create(source[i..]));
            (Vector256<int> a, Vector256<int> b) = Vector256.Widen(lower);
            (Vector256<int> c, Vector256<int> d) = Vector256.Widen(upper);
            (Vector256.ConvertToSingle(a) * scales).CopyTo(target[i..]);
            (Vector256.ConvertToSingle(b) * scales).CopyTo(target[(i + step)..]);
            (Vector256.ConvertToSingle(c) * scales).CopyTo(target[(i + 2 * step)..]);
            (Vector256.ConvertToSingle(d) * scales).CopyTo(target[(i + 3 * step)..]);
        }

        for (; i < source.Length; i++)
        {
            target[i] = source[i] * scale;
        }
    }

    static Vector256<int> Code(ReadOnlySpan<float> values, float scale)
    {
        Vector256<float> code = Vector256.Round(Vector256.Create(values) / Vector256.Create(scale));
        return Vector256.ConvertToInt32(Vector256.Min(Vector256.Max(code, Vector256.Create(-Largest)), Vector256.Create(Largest)));
    }
}
