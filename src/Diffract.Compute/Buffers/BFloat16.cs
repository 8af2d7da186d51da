using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Diffract.Compute.Buffers;

/// <summary>bfloat16 as its 16 bits. The core library of .NET 10 has no such type.</summary>
public static class BFloat16
{
    /// <summary>The single that the bits stand for; exact.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float ToSingle(ushort bits) => BitConverter.UInt32BitsToSingle((uint)bits << 16);

    /// <summary>Rounds to nearest, ties to even; NaN stays NaN.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ushort FromSingle(float value)
    {
        uint bits = BitConverter.SingleToUInt32Bits(value);
        if (float.IsNaN(value))
        {
            return (ushort)((bits >> 16) | 0x40);
        }

        return (ushort)((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
    }

    public static void Widen(ReadOnlySpan<ushort> source, Span<float> target)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(target.Length, source.Length);
        int i = 0;
        for (; i <= source.Length - Vector256<ushort>.Count; i += Vector256<ushort>.Count)
        {
            (Vector256<uint> lower, Vector256<uint> upper) = Vector256.Widen(Vector256.Create(source[i..]));
            (lower << 16).AsSingle().CopyTo(target[i..]);
            (upper << 16).AsSingle().CopyTo(target[(i + Vector256<uint>.Count)..]);
        }

        for (; i < source.Length; i++)
        {
            target[i] = ToSingle(source[i]);
        }
    }

    public static void Round(ReadOnlySpan<float> source, Span<ushort> target)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(target.Length, source.Length);
        int i = 0;
        for (; i <= source.Length - Vector256<ushort>.Count; i += Vector256<ushort>.Count)
        {
            Vector256<uint> lower = Round(Vector256.Create(source[i..])), upper = Round(Vector256.Create(source[(i + Vector256<float>.Count)..]));
            Vector256.Narrow(lower, upper).CopyTo(target[i..]);
        }

        for (; i < source.Length; i++)
        {
            target[i] = FromSingle(source[i]);
        }
    }

    static Vector256<uint> Round(Vector256<float> values)
    {
        Vector256<uint> bits = values.AsUInt32(), upper = bits >>> 16;
        Vector256<uint> rounded = (bits + Vector256.Create(0x7FFFu) + (upper & Vector256<uint>.One)) >>> 16;
        return Vector256.ConditionalSelect(Vector256.Equals(values, values).AsUInt32(), rounded, upper | Vector256.Create(0x40u));
    }
}
