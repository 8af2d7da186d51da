namespace Diffract.Tests;

/// <summary>How golden values are compared: the largest difference against the largest golden magnitude.</summary>
static class Close
{
    /// <summary>Fails unless max|got - wanted| ≤ tolerance · max|wanted|.</summary>
    public static void Max(ReadOnlySpan<float> wanted, ReadOnlySpan<float> got, double tolerance, string what)
    {
        Assert.Equal(wanted.Length, got.Length);
        double largest = 0;
        double off = 0;
        for (int i = 0; i < wanted.Length; i++)
        {
            Assert.False(float.IsNaN(got[i]) || float.IsNaN(wanted[i]), $"{what}[{i}] is {got[i]}, wanted {wanted[i]}");
            largest = Math.Max(largest, Math.Abs(wanted[i]));
            off = Math.Max(off, Math.Abs((double)wanted[i] - got[i]));
        }

        Assert.True(off <= tolerance * largest, $"{what}: off by {off:E2}, largest {largest:E2}, allowed {tolerance * largest:E2}");
    }

    /// <summary>Fails unless |got - wanted| ≤ tolerance · |wanted|.</summary>
    public static void Relative(double wanted, double got, double tolerance, string what)
        => Assert.True(Math.Abs(got - wanted) <= tolerance * Math.Abs(wanted), $"{what} is {got:R}, wanted {wanted:R}");
}
