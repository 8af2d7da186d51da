using System.Diagnostics;
using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Cpu;

namespace Diffract.Bench;

/// <summary>
/// Latent Scaling of all latents: the sums from which all eight betas follow, taken with one encode and one decode of the tokens, against that encode and decode alone. Codes by a threshold, as the
/// stage takes them; planted activations, random weights. The three operations take turns; medians.
/// </summary>
static class ScalingBench
{
    const int Runs = 9;

    public static void Run(BenchTable table, CpuPath path, int threads)
    {
        table.Note($"eight targets (activation, activation less bias, reconstruction and error of both models) of all latents in one pass; {threads} threads, medians of {Runs} turns\n");
        table.Header("D", "L", "B", "pairs a token", "encode ms", "decode ms", "sums ms", "all / encode and decode", "tokens/s", "bytes allocated");
        foreach ((int width, int latents, int tokens, int k) in new[] { (128, 1024, 1024, 32), (256, 8192, 1024, 32), (256, 8192, 1024, 100), (2304, 16384, 512, 100) })
        {
            using CpuBackend backend = new(path, threads);
            Measure(table, backend, width, latents, tokens, k);
        }
    }

    static void Measure(BenchTable table, CpuBackend backend, int width, int latents, int tokens, int k)
    {
        int both = 2 * width;
        int[] offsets = [0, width, both];
        Matrix acts_BE = PlantedBatches.Make(1, tokens, both)[0], recon_BE = Matrix.Host(tokens, both), wEnc_LE = Numbers.Fill(latents, both, 1, 0.05), wDec_LE = Numbers.Fill(latents, both, 2, 0.05);
        Matrix bEnc_L = Matrix.Host(1, latents), bDec_E = Numbers.Fill(1, both, 3), scale_L = Matrix.Host(1, latents);
        scale_L.Row(0).Fill(1);
        using SparseCode code = new(tokens, latents, 2 * k * tokens);
        backend.Crosscoder.EncodeSelect(acts_BE, wEnc_LE, bEnc_L, scale_L, Selection.BatchTopK(k * tokens), code);
        float cut = code.SmallestScaled;
        HostBuffer sums = new(ElementType.Float64, (long)latents * ScalingShapes.Columns(2));
        Action[] ways =
        [
            () => backend.Crosscoder.EncodeSelect(acts_BE, wEnc_LE, bEnc_L, scale_L, Selection.Above(cut), code),
            () => backend.Crosscoder.Decode(code, wDec_LE, bDec_E, recon_BE),
            () => backend.Scaling.Accumulate(code, acts_BE, recon_BE, wDec_LE.SliceColumns(width, width), offsets, sums),
        ];
        Array.ForEach(ways, way => way());
        Array.ForEach(ways, way => way());
        double[][] seconds = [.. ways.Select(_ => new double[Runs])];
        long allocated = GC.GetTotalAllocatedBytes(precise: true);
        for (int run = 0; run < Runs; run++)
        {
            for (int way = 0; way < ways.Length; way++)
            {
                long start = Stopwatch.GetTimestamp();
                ways[way]();
                seconds[way][run] = Stopwatch.GetElapsedTime(start).TotalSeconds;
            }
        }

        allocated = GC.GetTotalAllocatedBytes(precise: true) - allocated;
        double[] ratios = [.. Enumerable.Range(0, Runs).Select(r => 1 + seconds[2][r] / (seconds[0][r] + seconds[1][r]))];
        double[] median = [.. seconds.Select(s => Numbers.Median(s))];
        table.Row(
            width, latents, tokens, (double)code.Pairs / tokens, median[0] * 1e3, median[1] * 1e3, median[2] * 1e3, $"{Numbers.Median(ratios):F2}", Math.Round(tokens / median.Sum()), allocated);
        foreach (Matrix m in new[] { wEnc_LE, wDec_LE })
        {
            m.Buffer.Dispose();
        }

        sums.Dispose();
    }
}
