using System.Diagnostics;
using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Cpu;
using Diffract.Cpu.Threads;

namespace Diffract.Bench;

/// <summary>
/// The half of a BatchTopK step behind the encoder, op by op, on a code with log-normal firing rates, some dead latents and two that are always on. Before each round the caches are filled with
/// something else, as an encode does. One shard is the sum in the order of the latents: what the virtual shards cost is the difference.
/// </summary>
static class SparseHalfBench
{
    const int Rounds = 30;

    public static void Run(BenchTable table, CpuPath path, int threads)
    {
        table.Header("E", "L", "B", "pairs", "op", "ms (median)", "fastest");
        foreach ((int width, int latents, int tokens, int k) in new[] { (512, 8192, 1024, 32), (256, 2048, 1024, 32) })
        {
            using CpuBackend backend = new(path, threads);
            Measure(table, backend, width, latents, tokens, k);
        }
    }

    static void Measure(BenchTable table, CpuBackend backend, int width, int latents, int tokens, int k)
    {
        using SparseCode sharded = Code(tokens, latents, k, VirtualShards.Size(latents)), whole = Code(tokens, latents, k, latents);
        Matrix acts_BE = Numbers.Fill(tokens, width, 1), recon_BE = Matrix.Host(tokens, width), grad_BE = Numbers.Fill(tokens, width, 2, 1e-4), bias_E = Numbers.Fill(1, width, 3);
        int[] offsets = [0, width / 2, width];
        LatentParameters p = new(
            Weights(1), backend.Matrix(1, latents), Weights(2), Weights(3), Weights(4), backend.Matrix(1, latents), backend.Matrix(1, latents), Weights(5), Weights(6),
            backend.Matrix(latents, 2), backend.Matrix(1, latents), offsets, CodeNormKind.Crosscoder, null);
        foreach (Matrix v in new[] { p.EncV_LE, p.DecV_LE })
        {
            for (int r = 0; r < latents; r++)
            {
                foreach (ref float x in v.Row(r))
                {
                    x = Math.Abs(x);
                }
            }
        }

        ICrosscoderKernels kernels = backend.Crosscoder;
        Matrix dirt = Numbers.Fill(1, 12 << 20, 9);
        using WorkerPool pool = new(backend.Threads);
        using CopyCeiling ceiling = new(pool, latents, width);
        (string Name, Action Run)[] ops =
        [
            ("Decode", () => kernels.Decode(sharded, p.WDec_LE, bias_E, recon_BE)),
            ("Residual", () => kernels.Residual(acts_BE, recon_BE, offsets, false, null, recon_BE)),
            ("CodeGradient", () => kernels.CodeGradient(sharded, grad_BE, p.WDec_LE, p.Scale_L, 0)),
            ("GradientSquares", () => kernels.GradientSquares([new LatentTerm(sharded, grad_BE)], acts_BE, p)),
            ("UpdateLatents", () => kernels.UpdateLatents([new LatentTerm(sharded, grad_BE)], acts_BE, p, AdamStep.At(100, 1e-9, 0.5))),
            ("GradientSquares with code gradients, kept", () => kernels.GradientSquares([new LatentTerm(sharded, grad_BE, 0)], acts_BE, p, keep: true)),
            ("UpdateLatents from kept ones", () => kernels.UpdateLatents([new LatentTerm(sharded, grad_BE)], acts_BE, p, AdamStep.At(100, 1e-9, 0.5))),
            ("Decode, one shard", () => kernels.Decode(whole, p.WDec_LE, bias_E, recon_BE)),
            ("six streams in place", () => ceiling.Measure()),
        ];
        double[][] seconds = [.. ops.Select(_ => new double[Rounds])];
        for (int round = -10; round < Rounds; round++)
        {
            for (int i = 0; i < ops.Length; i++)
            {
                if (ops[i].Name.StartsWith("Decode", StringComparison.Ordinal))
                {
                    kernels.SumOfSquares(dirt);
                }

                long start = Stopwatch.GetTimestamp();
                ops[i].Run();
                if (round >= 0)
                {
                    seconds[i][round] = Stopwatch.GetElapsedTime(start).TotalSeconds * 1e3;
                }
            }
        }

        for (int i = 0; i < ops.Length; i++)
        {
            Array.Sort(seconds[i]);
            table.Row(width, latents, tokens, sharded.Pairs, ops[i].Name, seconds[i][Rounds / 2], seconds[i][0]);
        }

        Matrix Weights(int seed)
        {
            Matrix w = backend.Matrix(latents, width), source = Numbers.Fill(latents, width, seed, 1e-2);
            for (int r = 0; r < latents; r++)
            {
                source.Row(r).CopyTo(w.Row(r));
            }

            source.Buffer.Dispose();
            return w;
        }
    }

    static SparseCode Code(int tokens, int latents, int k, int shardSize)
    {
        Random random = new(11);
        double[] rates = [.. Enumerable.Range(0, latents).Select(_ => random.NextDouble() < 0.1 ? 0 : Math.Exp(1.5 * PlantedBatches.Normal(random)))];
        double scale = (k - 2) / rates.Sum();
        (rates[latents / 3], rates[latents / 2]) = (1e9, 1e9);
        SparseCode code = new(tokens, latents, 2 * k * tokens) { ShardSize = shardSize, Tokens = tokens };
        List<int>[] latentsOf = [.. Enumerable.Range(0, tokens).Select(_ => new List<int>())];
        int pairs = 0;
        for (int j = 0; j < latents; j++)
        {
            for (int b = 0; b < tokens; b++)
            {
                if (random.NextDouble() < rates[j] * scale)
                {
                    code.PairToken.Span<int>()[pairs] = b;
                    code.PairValue.Span<float>()[pairs] = (float)(0.1 + random.NextDouble());
                    latentsOf[b].Add(pairs++);
                }
            }

            code.LatentStart.Span<int>()[j + 1] = pairs;
        }

        code.Pairs = pairs;
        int[] latentOf = new int[pairs];
        for (int j = 0; j < latents; j++)
        {
            latentOf.AsSpan(code.LatentStart.Span<int>()[j]..code.LatentStart.Span<int>()[j + 1]).Fill(j);
        }

        int entries = 0;
        for (int b = 0; b < tokens; b++)
        {
            foreach (int pair in latentsOf[b])
            {
                code.TokenPairs.Span<int>()[entries] = pair;
                code.TokenLatent.Span<int>()[entries++] = latentOf[pair];
            }

            code.TokenStart.Span<int>()[b + 1] = entries;
        }

        return code;
    }
}
