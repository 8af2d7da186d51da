using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;

namespace Diffract.Kernels.Tests.Crosscoder;

/// <summary>Comparisons of matrices and codes.</summary>
static class Check
{
    public static void Near(Matrix wanted, Matrix got, double tolerance, string what)
    {
        double scale = 1e-30;
        for (int r = 0; r < wanted.Rows; r++)
        {
            foreach (float x in wanted.Row(r))
            {
                scale = Math.Max(scale, Math.Abs(x));
            }
        }

        for (int r = 0; r < wanted.Rows; r++)
        {
            for (int c = 0; c < wanted.Columns; c++)
            {
                double difference = Math.Abs((double)wanted.Row(r)[c] - got.Row(r)[c]);
                Assert.True(difference <= tolerance * scale, $"{what}[{r}, {c}]: {got.Row(r)[c]} instead of {wanted.Row(r)[c]}, largest {scale}");
            }
        }
    }

    public static void Near(double wanted, double got, double tolerance, string what)
        => Assert.True(Math.Abs(wanted - got) <= tolerance * Math.Abs(wanted) + 1e-30, $"{what}: {got} instead of {wanted}");

    public static void SameBits(Matrix wanted, Matrix got, string what)
    {
        for (int r = 0; r < wanted.Rows; r++)
        {
            Assert.True(wanted.Row(r).SequenceEqual(got.Row(r)), $"{what}, row {r}");
        }
    }

    /// <summary>Both orders, all values, the smallest score.</summary>
    public static void SamePairs(SparseCode wanted, SparseCode got)
    {
        Assert.Equal(wanted.Tokens, got.Tokens);
        Assert.Equal(wanted.Pairs, got.Pairs);
        Assert.Equal(Ints(wanted.LatentStart, wanted.Latents + 1), Ints(got.LatentStart, got.Latents + 1));
        Assert.Equal(Ints(wanted.PairToken, wanted.Pairs), Ints(got.PairToken, got.Pairs));
        Assert.Equal(Floats(wanted.PairValue, wanted.Pairs), Floats(got.PairValue, got.Pairs));
        Assert.Equal(Ints(wanted.TokenStart, wanted.Tokens + 1), Ints(got.TokenStart, got.Tokens + 1));
        Assert.Equal(Ints(wanted.TokenLatent, wanted.Pairs), Ints(got.TokenLatent, got.Pairs));
        Assert.Equal(Ints(wanted.TokenPairs, wanted.Pairs), Ints(got.TokenPairs, got.Pairs));
        Assert.Equal(wanted.SmallestScaled, got.SmallestScaled);
    }

    public static int[] Ints(HostBuffer buffer, int count) => buffer.Span<int>()[..count].ToArray();

    public static float[] Floats(HostBuffer buffer, int count) => buffer.Span<float>()[..count].ToArray();

    public static Matrix Row(HostBuffer buffer, int count) => new(buffer, 1, count, count);
}
