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
}
