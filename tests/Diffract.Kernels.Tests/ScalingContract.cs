using Diffract.Compute;
using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;

namespace Diffract.Kernels.Tests;

/// <summary>What every backend's <see cref="IScalingKernels"/> must compute: written out pair by pair from the formulas of the interface.</summary>
public sealed unsafe class ScalingContract
{
    [Theory]
    [MemberData(nameof(BackendsUnderTest.Names), MemberType = typeof(BackendsUnderTest))]
    public void Sums_match_their_formulas(string name)
    {
        using IBackend backend = BackendsUnderTest.Create(name);
        foreach ((int tokens, int latents, int width, int models, double share) in new[] { (37, 19, 24, 2, 0.3), (64, 70, 33, 2, 0.02), (5, 3, 1, 1, 1.0), (20, 11, 7, 3, 0.5) })
        {
            using Case given = new(tokens, latents, width, models, share, seed: 5);
            backend.Scaling.Accumulate(given.Code, given.Acts, given.Recon, given.Directions, given.Offsets, given.Sums);
            double[] wanted = given.Naive();
            Assert.Equal(wanted.Length, given.Sums.Length);
            for (int i = 0; i < wanted.Length; i++)
            {
                double got = given.Sums.Doubles[i];
                Assert.True(Math.Abs(got - wanted[i]) <= Tolerance.DoubleSums * (1 + Math.Abs(wanted[i])), $"{name}, sum {i}: {got}, wanted {wanted[i]}");
            }
        }
    }

    [Theory]
    [MemberData(nameof(BackendsUnderTest.Names), MemberType = typeof(BackendsUnderTest))]
    public void A_second_batch_is_added_to_the_first(string name)
    {
        using IBackend backend = BackendsUnderTest.Create(name);
        using Case given = new(40, 12, 24, 2, 0.4, seed: 6);
        backend.Scaling.Accumulate(given.Code, given.Acts, given.Recon, given.Directions, given.Offsets, given.Sums);
        double[] once = given.Sums.Span<double>().ToArray();
        backend.Scaling.Accumulate(given.Code, given.Acts, given.Recon, given.Directions, given.Offsets, given.Sums);
        for (int i = 0; i < once.Length; i++)
        {
            Assert.True(Math.Abs(given.Sums.Doubles[i] - 2 * once[i]) <= Tolerance.DoubleSums * (1 + Math.Abs(once[i])));
        }
    }

    [Theory]
    [MemberData(nameof(BackendsUnderTest.CpuNames), MemberType = typeof(BackendsUnderTest))]
    public void Threads_and_paths_give_the_same_bits(string name)
    {
        using IBackend one = BackendsUnderTest.Create("vector-1");
        using IBackend other = BackendsUnderTest.Create(name);
        using Case a = new(200, 150, 48, 2, 0.2, seed: 7);
        using Case b = new(200, 150, 48, 2, 0.2, seed: 7);
        one.Scaling.Accumulate(a.Code, a.Acts, a.Recon, a.Directions, a.Offsets, a.Sums);
        other.Scaling.Accumulate(b.Code, b.Acts, b.Recon, b.Directions, b.Offsets, b.Sums);
        Assert.True(a.Sums.Span<double>().SequenceEqual(b.Sums.Span<double>()));
        Assert.Contains(a.Sums.Span<double>().ToArray(), v => v != 0);
    }

    [Theory]
    [MemberData(nameof(BackendsUnderTest.Names), MemberType = typeof(BackendsUnderTest))]
    public void Directions_may_be_columns_of_a_wider_matrix(string name)
    {
        using IBackend backend = BackendsUnderTest.Create(name);
        using Case given = new(30, 9, 16, 2, 0.5, seed: 8);
        Matrix wide = Matrix.Host(9, 32);
        using IBuffer owner = wide.Buffer;
        for (int j = 0; j < 9; j++)
        {
            given.Directions.Row(j).CopyTo(wide.Row(j)[16..]);
        }

        backend.Scaling.Accumulate(given.Code, given.Acts, given.Recon, given.Directions, given.Offsets, given.Sums);
        using HostBuffer sums = new(ElementType.Float64, given.Sums.Length);
        backend.Scaling.Accumulate(given.Code, given.Acts, given.Recon, wide.SliceColumns(16, 16), given.Offsets, sums);
        Assert.True(given.Sums.Span<double>().SequenceEqual(sums.Span<double>()));
    }

    [Theory]
    [MemberData(nameof(BackendsUnderTest.Names), MemberType = typeof(BackendsUnderTest))]
    public void Shapes_that_do_not_fit_are_refused(string name)
    {
        using IBackend backend = BackendsUnderTest.Create(name);
        using Case given = new(10, 6, 8, 2, 0.5, seed: 9);
        using HostBuffer shortSums = new(ElementType.Float64, 6);
        Assert.Throws<ShapeException>(() => backend.Scaling.Accumulate(given.Code, given.Acts, given.Recon, given.Directions, given.Offsets, shortSums));
        Assert.Throws<ShapeException>(() => backend.Scaling.Accumulate(given.Code, given.Acts, given.Recon, given.Directions, [0, 7, 16], given.Sums));
        Assert.Throws<ShapeException>(() => backend.Scaling.Accumulate(given.Code, given.Acts.SliceRows(0, 9), given.Recon, given.Directions, given.Offsets, given.Sums));
        Assert.Throws<ShapeException>(() => backend.Scaling.Accumulate(given.Code, given.Acts, given.Recon, given.Directions.SliceRows(0, 5), given.Offsets, given.Sums));
    }

    /// <summary>Random rows and a random code, with one latent that never fires and one that fires everywhere.</summary>
    sealed class Case : IDisposable
    {
        public Case(int tokens, int latents, int width, int models, double share, int seed)
        {
            Random random = new(seed);
            Offsets = [.. Enumerable.Range(0, models + 1).Select(m => m * width)];
            Acts = Random(random, tokens, models * width);
            Recon = Random(random, tokens, models * width);
            Directions = Random(random, latents, width);
            Sums = new HostBuffer(ElementType.Float64, (long)latents * (3 + 2 * models));
            Code = new SparseCode(tokens, latents, tokens * latents) { Tokens = tokens };
            int pairs = 0;
            for (int j = 0; j < latents; j++)
            {
                Code.LatentStart.Ints[j] = pairs;
                for (int b = 0; b < tokens; b++)
                {
                    if (j != 1 && (j == 0 || random.NextDouble() < share))
                    {
                        Code.PairToken.Ints[pairs] = b;
                        Code.PairValue.Floats[pairs++] = random.NextSingle() + 0.01f;
                    }
                }
            }

            Code.LatentStart.Ints[latents] = pairs;
            Code.Pairs = pairs;
        }

        public SparseCode Code { get; }

        public Matrix Acts { get; }

        public Matrix Recon { get; }

        public Matrix Directions { get; }

        public int[] Offsets { get; }

        public HostBuffer Sums { get; }

        public double[] Naive()
        {
            int models = Offsets.Length - 1, columns = 3 + 2 * models;
            double[] sums = new double[Code.Latents * columns];
            for (int j = 0; j < Code.Latents; j++)
            {
                for (int p = Code.LatentStart.Ints[j]; p < Code.LatentStart.Ints[j + 1]; p++)
                {
                    int b = Code.PairToken.Ints[p];
                    double f = Code.PairValue.Floats[p];
                    sums[j * columns] += 1;
                    sums[j * columns + 1] += f;
                    sums[j * columns + 2] += f * f;
                    for (int e = 0; e < Acts.Columns; e++)
                    {
                        int m = e / Directions.Columns, d = e % Directions.Columns;
                        sums[j * columns + 3 + m] += f * Acts.Row(b)[e] * Directions.Row(j)[d];
                        sums[j * columns + 3 + models + m] += f * Recon.Row(b)[e] * Directions.Row(j)[d];
                    }
                }
            }

            return sums;
        }

        public void Dispose()
        {
            Code.Dispose();
            Acts.Buffer.Dispose();
            Recon.Buffer.Dispose();
            Directions.Buffer.Dispose();
            Sums.Dispose();
        }

        static Matrix Random(Random random, int rows, int columns)
        {
            Matrix matrix = Matrix.Host(rows, columns);
            for (int r = 0; r < rows; r++)
            {
                foreach (ref float v in matrix.Row(r))
                {
                    v = random.NextSingle() * 4 - 2;
                }
            }

            return matrix;
        }
    }
}
