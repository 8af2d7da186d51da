namespace Diffract.Tests.Llms;

static class Compare
{
    /// <summary>max|a-b| ≤ allowed · max|b|, and no NaN.</summary>
    public static void Close(float[] wanted, float[] got, double allowed, string what)
    {
        Assert.Equal(wanted.Length, got.Length);
        double largest = 0, off = 0;
        for (int i = 0; i < wanted.Length; i++)
        {
            largest = Math.Max(largest, Math.Abs(wanted[i]));
            double distance = Math.Abs((double)wanted[i] - got[i]);
            off = double.IsNaN(distance) ? double.PositiveInfinity : Math.Max(off, distance);
        }

        Assert.True(off <= allowed * largest, $"{what}: off by {off}, largest {largest}, ratio {off / largest}");
    }
}
