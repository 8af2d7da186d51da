using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Compute.Reference;
using Diffract.Cpu;
using Diffract.Scaling;

namespace Diffract.Tests.Scaling;

/// <summary>Planted betas come back, the error identity equals its definition, and errors equal a naive jackknife.</summary>
public sealed class BetaTests
{
    const int Width = 40;
    const int Latents = 12;
    const int Tokens = 600;

    /// <summary>
    /// Spec 5.7: orthonormal directions, data orthogonal to them, sparse codes, one known beta by latent added to the data: it is recovered to 1e-5.
    /// </summary>
    [Theory]
    [InlineData("reference")]
    [InlineData("cpu")]
    public void A_planted_beta_is_recovered(string device)
    {
        using IBackend backend = device == "cpu" ? new CpuBackend(CpuPaths.Best, 2) : new ReferenceBackend();
        Random random = new(11);
        double[][] v = Orthonormal(random, Latents, Width);
        double[] planted = [.. Enumerable.Range(0, Latents).Select(_ => 5 * Normal(random))];
        float[][] code_BL = RandomCode(random, Tokens, 0.1);
        using Weights weights = new(v, random);
        Matrix acts = Matrix.Host(Tokens, 2 * Width);
        using IBuffer owner = acts.Buffer;
        for (int b = 0; b < Tokens; b++)
        {
            double[] y = Noise(random, v);
            for (int d = 0; d < Width; d++)
            {
                acts.Row(b)[d] = (float)(y[d] + Enumerable.Range(0, Latents).Sum(j => planted[j] * code_BL[b][j] * v[j][d]));
                acts.Row(b)[Width + d] = (float)(y[d] + Enumerable.Range(0, Latents).Sum(j => code_BL[b][j] * v[j][d]));
            }
        }

        using SparseCode code = SparseCodes.From(code_BL);
        using BetaSums sums = new(backend.Scaling, weights.WDec, weights.Offsets, 1);
        sums.Add(0, code, acts, acts);
        LatentProducts products = new(weights.WDec, weights.BDec, weights.Offsets);
        double[] total = new double[sums.Columns];
        for (int j = 0; j < Latents; j++)
        {
            sums.Total(j, total);
            Assert.Equal(planted[j], Beta.Of(TargetKind.Activation, 0, total, products, j), 1e-5 * Math.Max(1, Math.Abs(planted[j])));
            Assert.Equal(1, Beta.Of(TargetKind.Activation, 1, total, products, j), 1e-5);
            Assert.Equal(planted[j], Beta.Ratio(TargetKind.Activation, total, products, j), 1e-4 * Math.Max(1, Math.Abs(planted[j])));
        }
    }

    /// <summary>The identity A - R + C⟨d, v⟩ against Σ f⟨h - (r - f·d), v⟩ written out.</summary>
    [Fact]
    public void The_error_target_equals_its_definition()
    {
        using Problem problem = new(seed: 12, blocks: 1);
        double[] total = new double[problem.Sums.Columns];
        for (int j = 0; j < Latents; j++)
        {
            problem.Sums.Total(j, total);
            for (int m = 0; m < 2; m++)
            {
                double wanted = 0, withoutBias = 0;
                for (int b = 0; b < Tokens; b++)
                {
                    double f = problem.Code_BL[b][j];
                    for (int d = 0; d < Width; d++)
                    {
                        double h = problem.Acts.Row(b)[m * Width + d], r = problem.Recon.Row(b)[m * Width + d], own = f * problem.Weights.WDec.Row(j)[m * Width + d];
                        double v = problem.Weights.WDec.Row(j)[Width + d];
                        wanted += f * (h - (r - own)) * v;
                        withoutBias += f * (h - problem.Weights.BDec.Row(0)[m * Width + d]) * v;
                    }
                }

                Assert.Equal(wanted, Beta.Nominator(TargetKind.Error, m, total, problem.Products, j), 1e-9 * (1 + Math.Abs(wanted)));
                Assert.Equal(withoutBias, Beta.Nominator(TargetKind.ActivationNoBias, m, total, problem.Products, j), 1e-9 * (1 + Math.Abs(withoutBias)));
            }
        }
    }

    [Fact]
    public void Jackknife_errors_equal_those_of_sums_made_anew_without_each_block()
    {
        using Problem problem = new(seed: 13, blocks: 6);
        ScalingRow[] rows = ScalingRows.From(problem.Sums, problem.Products, problem.Weights.WDec, problem.Weights.Offsets);
        double[] total = new double[problem.Sums.Columns];
        double[,] nuError = new double[6, Latents], nuReconstruction = new double[6, Latents];
        for (int left = 0; left < 6; left++)
        {
            using BetaSums anew = new(problem.Backend.Scaling, problem.Weights.WDec, problem.Weights.Offsets, 1);
            for (int block = 0; block < 6; block++)
            {
                if (block != left)
                {
                    problem.AddBlock(anew, 0, block, 6);
                }
            }

            for (int j = 0; j < Latents; j++)
            {
                anew.Total(j, total);
                nuError[left, j] = Beta.Ratio(TargetKind.Error, total, problem.Products, j);
                nuReconstruction[left, j] = Beta.Ratio(TargetKind.Reconstruction, total, problem.Products, j);
            }
        }

        for (int j = 0; j < Latents; j++)
        {
            Assert.Equal(Naive(nuError, j), rows[j].NuErrorSe, 1e-9 * rows[j].NuErrorSe);
            Assert.Equal(Naive(nuReconstruction, j), rows[j].NuReconstructionSe, 1e-9 * rows[j].NuReconstructionSe);
            Assert.True(rows[j].NuErrorSe > 0);
        }

        static double Naive(double[,] left, int j)
        {
            double[] values = [.. Enumerable.Range(0, 6).Select(g => left[g, j])];
            return Math.Sqrt(values.Sum(v => Math.Pow(v - values.Average(), 2)) * 5 / 6);
        }
    }

    [Fact]
    public void A_latent_that_never_fires_has_no_beta_and_one_that_fires_in_one_block_no_error()
    {
        using Problem problem = new(seed: 14, blocks: 4, silent: 0, onlyFirstBlock: 1);
        ScalingRow[] rows = ScalingRows.From(problem.Sums, problem.Products, problem.Weights.WDec, problem.Weights.Offsets);
        Assert.Equal(0, rows[0].CountActive);
        Assert.All([rows[0].BetaBaseActivation, rows[0].BetaChatError, rows[0].NuError, rows[0].NuErrorSe], v => Assert.True(double.IsNaN(v)));
        Assert.True(double.IsFinite(rows[1].NuError));
        Assert.True(double.IsNaN(rows[1].NuErrorSe));
        Assert.True(double.IsFinite(rows[2].NuErrorSe));
    }

    [Fact]
    public void The_chat_error_beta_is_activation_minus_reconstruction_plus_one()
    {
        using Problem problem = new(seed: 15, blocks: 2);
        foreach (ScalingRow row in ScalingRows.From(problem.Sums, problem.Products, problem.Weights.WDec, problem.Weights.Offsets))
        {
            Assert.Equal(row.BetaChatActivation - row.BetaChatReconstruction + 1, row.BetaChatError, 1e-9 * (1 + Math.Abs(row.BetaChatActivation)));
        }
    }

    [Theory]
    [InlineData(0.95, 100, 0.1, 0.4, Verdict.ChatSpecific)]
    [InlineData(0.95, 100, -0.1, -0.4, Verdict.ChatSpecific)]
    [InlineData(0.95, 100, 0.3, 0.4, Verdict.CompleteShrinkage)]
    [InlineData(0.95, 100, -0.3, 0.4, Verdict.CompleteShrinkage)]
    [InlineData(0.95, 100, 0.1, 0.6, Verdict.Decoupling)]
    [InlineData(0.95, 100, 0.1, -0.6, Verdict.Decoupling)]
    [InlineData(0.95, 100, 0.3, 0.6, Verdict.Both)]
    [InlineData(0.95, 100, 0.2, 0.4, Verdict.CompleteShrinkage)]
    [InlineData(0.95, 100, 0.1, 0.5, Verdict.Decoupling)]
    [InlineData(0.95, 100, double.NaN, 0.1, Verdict.Undecided)]
    [InlineData(0.95, 100, 0.1, double.NaN, Verdict.Undecided)]
    [InlineData(0.95, 49, 0.1, 0.4, Verdict.Undecided)]
    [InlineData(0.95, 50, 0.1, 0.4, Verdict.ChatSpecific)]
    [InlineData(0.9, 100, 0.1, 0.4, Verdict.NotChatOnly)]
    [InlineData(0.05, 100, 0.1, 0.4, Verdict.NotChatOnly)]
    [InlineData(double.NaN, 0, double.NaN, double.NaN, Verdict.NotChatOnly)]
    public void Verdicts_follow_the_table(double deltaNorm, long count, double nuError, double nuReconstruction, Verdict wanted)
    {
        Verdict got = Verdicts.Of(deltaNorm, count, nuError, nuReconstruction);
        Assert.Equal(wanted, got);
        Assert.Equal(wanted, Verdicts.Parse(Verdicts.Name(got)));
    }

    [Fact]
    public void Blocks_are_contiguous_and_balanced_by_tokens()
    {
        Random random = new(16);
        int[] lengths = [.. Enumerable.Range(0, 1000).Select(_ => random.Next(5, 300))];
        int[] starts = DocumentBlocks.Split(lengths, 32);
        Assert.Equal(33, starts.Length);
        Assert.Equal((0, 1000), (starts[0], starts[^1]));
        double share = lengths.Sum() / 32.0;
        for (int block = 0; block < 32; block++)
        {
            Assert.InRange(lengths[starts[block]..starts[block + 1]].Sum(), share - 300, share + 300);
        }

        Assert.Equal([0, 1, 2, 3], DocumentBlocks.Split([10, 10, 10], 32));
        Assert.Equal([0], DocumentBlocks.Split([], 32));
        Assert.Equal([0, 1, 2], DocumentBlocks.Split([1000, 1], 4));
    }

    static float[][] RandomCode(Random random, int tokens, double share)
        => [.. Enumerable.Range(0, tokens).Select(_ => Enumerable.Range(0, Latents).Select(_ => random.NextDouble() < share ? (float)Math.Exp(Normal(random)) : 0).ToArray())];

    static double[] Noise(Random random, double[][] v)
    {
        double[] y = [.. Enumerable.Range(0, Width).Select(_ => Normal(random))];
        foreach (double[] direction in v)
        {
            double along = y.Zip(direction, (a, b) => a * b).Sum();
            for (int d = 0; d < y.Length; d++)
            {
                y[d] -= along * direction[d];
            }
        }

        return y;
    }

    static double[][] Orthonormal(Random random, int count, int width)
    {
        List<double[]> vectors = [];
        while (vectors.Count < count)
        {
            double[] y = [.. Enumerable.Range(0, width).Select(_ => Normal(random))];
            foreach (double[] other in vectors)
            {
                double along = y.Zip(other, (a, b) => a * b).Sum();
                y = [.. y.Select((value, d) => value - along * other[d])];
            }

            double norm = Math.Sqrt(y.Sum(value => value * value));
            vectors.Add([.. y.Select(value => value / norm)]);
        }

        return [.. vectors];
    }

    static double Normal(Random random) => Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble());

    /// <summary>Decoder rows: the chat model's are <c>v</c>, the base model's are random.</summary>
    sealed class Weights : IDisposable
    {
        public Weights(double[][] v, Random random)
        {
            WDec = Matrix.Host(v.Length, 2 * Width);
            BDec = Matrix.Host(1, 2 * Width);
            for (int j = 0; j < v.Length; j++)
            {
                for (int d = 0; d < Width; d++)
                {
                    WDec.Row(j)[d] = (float)(0.1 * Normal(random));
                    WDec.Row(j)[Width + d] = (float)v[j][d];
                }
            }

            foreach (ref float b in BDec.Row(0))
            {
                b = (float)Normal(random);
            }
        }

        public int[] Offsets { get; } = [0, Width, 2 * Width];

        public Matrix WDec { get; }

        public Matrix BDec { get; }

        public void Dispose()
        {
            WDec.Buffer.Dispose();
            BDec.Buffer.Dispose();
        }
    }

    /// <summary>Random activations, reconstructions and codes, summed in blocks of consecutive tokens.</summary>
    sealed class Problem : IDisposable
    {
        public Problem(int seed, int blocks, int silent = -1, int onlyFirstBlock = -1)
        {
            Random random = new(seed);
            Weights = new Weights(Orthonormal(random, Latents, Width), random);
            Code_BL = RandomCode(random, Tokens, 0.2);
            for (int b = 0; b < Tokens; b++)
            {
                if (silent >= 0)
                {
                    Code_BL[b][silent] = 0;
                }

                if (onlyFirstBlock >= 0 && b >= Tokens / blocks)
                {
                    Code_BL[b][onlyFirstBlock] = 0;
                }
            }

            Acts = Matrix.Host(Tokens, 2 * Width);
            Recon = Matrix.Host(Tokens, 2 * Width);
            for (int b = 0; b < Tokens; b++)
            {
                for (int e = 0; e < 2 * Width; e++)
                {
                    Acts.Row(b)[e] = (float)(1 + Normal(random));
                    Recon.Row(b)[e] = Acts.Row(b)[e] + (float)(0.3 * Normal(random));
                }
            }

            Products = new LatentProducts(Weights.WDec, Weights.BDec, Weights.Offsets);
            Sums = new BetaSums(Backend.Scaling, Weights.WDec, Weights.Offsets, blocks);
            for (int block = 0; block < blocks; block++)
            {
                AddBlock(Sums, block, block, blocks);
            }
        }

        public ReferenceBackend Backend { get; } = new();

        public Weights Weights { get; }

        public float[][] Code_BL { get; }

        public Matrix Acts { get; }

        public Matrix Recon { get; }

        public LatentProducts Products { get; }

        public BetaSums Sums { get; }

        public void AddBlock(BetaSums into, int target, int block, int blocks)
        {
            int first = block * Tokens / blocks, end = (block + 1) * Tokens / blocks;
            using SparseCode code = SparseCodes.From(Code_BL[first..end]);
            into.Add(target, code, Acts.SliceRows(first, end - first), Recon.SliceRows(first, end - first));
        }

        public void Dispose()
        {
            Weights.Dispose();
            Acts.Buffer.Dispose();
            Recon.Buffer.Dispose();
            Sums.Dispose();
            Backend.Dispose();
        }
    }
}
