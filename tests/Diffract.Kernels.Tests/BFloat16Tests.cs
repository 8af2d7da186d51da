using Diffract.Compute.Buffers;

namespace Diffract.Kernels.Tests;

public sealed class BFloat16Tests
{
    [Theory]
    [InlineData(1.0f, 0x3F80)]
    [InlineData(-2.0f, 0xC000)]
    [InlineData(1.00390625f, 0x3F80)]
    [InlineData(1.01171875f, 0x3F82)]
    [InlineData(float.PositiveInfinity, 0x7F80)]
    public void Rounds_to_nearest_even(float value, int bits) => Assert.Equal((ushort)bits, BFloat16.FromSingle(value));

    [Fact]
    public void Nan_stays_nan() => Assert.True(float.IsNaN(BFloat16.ToSingle(BFloat16.FromSingle(float.NaN))));

    [Fact]
    public void Spans_give_the_bits_of_single_values()
    {
        float[] values = new float[100];
        uint state = 12345;
        for (int i = 0; i < values.Length; i++)
        {
            state = (state * 1664525) + 1013904223;
            values[i] = BitConverter.UInt32BitsToSingle(state);
        }

        (values[3], values[20], values[21]) = (float.NaN, float.PositiveInfinity, BitConverter.UInt32BitsToSingle(0xFF800001));
        ushort[] rounded = new ushort[values.Length];
        float[] widened = new float[values.Length];
        BFloat16.Round(values, rounded);
        BFloat16.Widen(rounded, widened);
        Assert.Equal(values.Select(BFloat16.FromSingle), rounded);
        Assert.Equal(rounded.Select(b => BitConverter.SingleToUInt32Bits(BFloat16.ToSingle(b))), widened.Select(BitConverter.SingleToUInt32Bits));
    }
}
