using System.Runtime.CompilerServices;

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
        for (int i = 0; i < source.Length; i++)
        {
            target[i] = ToSingle(source[i]);
        }
    }

    public static void Round(ReadOnlySpan<float> source, Span<ushort> target)
    {
        for (int i = 0; i < source.Length; i++)
        {
            target[i] = FromSingle(source[i]);
        }
    }
}
