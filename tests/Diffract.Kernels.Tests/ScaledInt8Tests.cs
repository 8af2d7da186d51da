using Diffract.Compute.Buffers;

namespace Diffract.Kernels.Tests;

public sealed class ScaledInt8Tests
{
    [Fact]
    public void The_largest_value_is_127_steps_and_ties_go_to_even()
    {
        float[] row = [-254, 1, 3, 2, 0, -0.5f, 5, 253];
        float scale = ScaledInt8.Scale(row);
        Assert.Equal(2f, scale);
        sbyte[] codes = new sbyte[8];
        ScaledInt8.Round(row, scale, codes);
        Assert.Equal([-127, 0, 2, 1, 0, 0, 2, 126], codes);
        float[] back = new float[8];
        ScaledInt8.Widen(codes, scale, back);
        Assert.Equal([-254, 0, 4, 2, 0, 0, 4, 252], back);
    }

    [Theory]
    [InlineData(31)]
    [InlineData(32)]
    [InlineData(101)]
    [InlineData(256)]
    public void Lanes_and_the_rest_agree_and_no_value_is_further_off_than_half_a_step(int length)
    {
        Random random = new(length);
        float[] row = [.. Enumerable.Range(0, length).Select(_ => (float)(random.NextDouble() - 0.5) * MathF.Pow(10, random.Next(-3, 3)))], back = new float[length];
        float scale = ScaledInt8.Scale(row);
        Assert.Equal(row.Max(MathF.Abs) / 127, scale);
        sbyte[] codes = new sbyte[length], alone = new sbyte[1];
        ScaledInt8.Round(row, scale, codes);
        ScaledInt8.Widen(codes, scale, back);
        for (int i = 0; i < length; i++)
        {
            ScaledInt8.Round(row.AsSpan(i, 1), scale, alone);
            Assert.Equal(alone[0], codes[i]);
            Assert.Equal((sbyte)MathF.Round(row[i] / scale), codes[i]);
            Assert.Equal(codes[i] * scale, back[i]);
            Assert.InRange(MathF.Abs(row[i] - back[i]), 0, scale * 0.50001f);
        }
    }

    [Fact]
    public void Nothing_and_next_to_nothing_become_zeros_and_what_is_no_number_shows_in_the_scale()
    {
        sbyte[] codes = [1, 1, 1];
        Assert.Equal(0f, ScaledInt8.Scale([0, -0f, 0]));
        Assert.Equal(0f, ScaledInt8.Scale([float.Epsilon, 0, 0]));
        ScaledInt8.Round([float.Epsilon, 0, 0], 0, codes);
        Assert.Equal([0, 0, 0], codes);
        float[] tiny = [1e-43f, -1e-43f, 5e-44f];
        ScaledInt8.Round(tiny, ScaledInt8.Scale(tiny), codes);
        Assert.All(codes, c => Assert.InRange(c, -127, 127));
        Assert.False(float.IsFinite(ScaledInt8.Scale([1, float.PositiveInfinity, 2])));
        Assert.True(float.IsNaN(ScaledInt8.Scale([1, float.NaN, 2])));
        Assert.True(float.IsNaN(ScaledInt8.Scale([.. Enumerable.Repeat(1f, 20), float.NaN, .. Enumerable.Repeat(1f, 20)])));
    }
}
