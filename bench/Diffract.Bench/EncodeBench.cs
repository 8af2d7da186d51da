using System.Diagnostics;
using System.Runtime.Intrinsics.X86;
using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Cpu;
using Diffract.Cpu.Threads;

namespace Diffract.Bench;

/// <summary>
/// The sparse encoder alone, by size of the dictionary and by path: first with a threshold that nothing reaches (packing, product and scan), then the whole BatchTopK
/// selection, in float32 and screened, with a code that knows the cut of the batch before. Planted activations, random weights. The runs of a row are interleaved; medians.
/// </summary>
static class EncodeBench
{
    const int Width = 512;
    const int Tokens = 1024;
    const int K = 32;
    const int Runs = 5;

    static readonly int[] Sizes = [2048, 8192, 16384, 32768, 65536, 131072];

    /// <param name="table">Where the rows go.</param>
    /// <param name="threads">Workers.</param>
    /// <param name="only">Paths and dictionary sizes to keep to; none: all.</param>
    public static void Run(BenchTable table, int threads, string[] only)
    {
        List<CpuPath> paths = [CpuPath.Vector, CpuPath.Avx2];
        if (Avx512F.IsSupported)
        {
            paths.Add(CpuPath.Avx512);
        }
        else
        {
            table.Note("This processor has no AVX-512: that path would be emulated and is left out.\n");
        }

        table.Note($"E = {Width}, B = {Tokens}, k = {K}, {threads} threads. GFLOP/s count 2·B·L·E; shares are of the FMA ceiling of the path's vectors, measured before each row.\n");
        table.Header("path", "L", "product ms", "GFLOP/s", "share", "EncodeSelect ms", "share", "screened ms", "share", "fp32 / screened", "ceiling GFLOP/s", "bytes allocated");
        Matrix[] batches = PlantedBatches.Make(2, Tokens, Width);
        int[] sizes = [.. only.Where(o => int.TryParse(o, out _)).Select(int.Parse)];
        List<CpuPath> named = [.. only.Select(CpuPaths.Parse).OfType<CpuPath>()];
        Dictionary<(CpuPath Path, int Latents), double> rates = [];
        foreach (CpuPath path in named.Count > 0 ? named : paths)
        {
            using CpuBackend plain = new(path, threads, ScreeningMode.Off), screened = new(path, threads, ScreeningMode.On);
            foreach (int latents in sizes.Length > 0 ? sizes : Sizes)
            {
                rates[(path, latents)] = Measure(table, plain, screened, batches, latents);
            }
        }

        table.Note("");
        foreach (((CpuPath path, int latents), double rate) in rates.Where(r => r.Key.Path == CpuPath.Vector && rates.ContainsKey((CpuPath.Avx2, r.Key.Latents))))
        {
            table.Note($"The portable path's product at L = {latents} runs at {rate / rates[(CpuPath.Avx2, latents)]:P0} of the avx2 path's.");
        }
    }

    /// <summary>GFLOP/s of the product.</summary>
    static double Measure(BenchTable table, CpuBackend plain, CpuBackend screened, Matrix[] batches, int latents)
    {
        double ceiling;
        using (WorkerPool pool = new(plain.Threads))
        {
            ceiling = FmaCeiling.Measure(pool, plain.Path);
        }

        Matrix wEnc_LE = Numbers.Fill(latents, Width, 1, 0.05), bias_L = Matrix.Host(1, latents), scale_L = Matrix.Host(1, latents);
        scale_L.Row(0).Fill(1);
        using SparseCode nothing = new(Tokens, latents, 16), code = new(Tokens, latents, K * Tokens), other = new(Tokens, latents, K * Tokens);
        Action<Matrix>[] ways =
        [
            acts_BE => plain.Crosscoder.EncodeSelect(acts_BE, wEnc_LE, bias_L, scale_L, Selection.Above(1e30f), nothing),
            acts_BE => plain.Crosscoder.EncodeSelect(acts_BE, wEnc_LE, bias_L, scale_L, Selection.BatchTopK(K * Tokens), code),
            acts_BE => screened.Crosscoder.EncodeSelect(acts_BE, wEnc_LE, bias_L, scale_L, Selection.BatchTopK(K * Tokens), other),
        ];
        if (plain.Path == CpuPath.Vector && latents > 8192)
        {
            // Without an integer multiply-add it is slower, and never chosen: two sizes show it.
            ways = ways[..2];
        }

        double[][] seconds = [.. ways.Select(_ => new double[Runs])];
        foreach (Matrix acts_BE in batches)
        {
            Array.ForEach(ways, way => way(acts_BE));
        }

        long allocated = GC.GetTotalAllocatedBytes(precise: true);
        for (int run = 0; run < Runs; run++)
        {
            for (int way = 0; way < ways.Length; way++)
            {
                seconds[way][run] = Seconds(ways[way], batches[run % batches.Length]);
            }
        }

        allocated = GC.GetTotalAllocatedBytes(precise: true) - allocated;
        Array.ForEach(seconds, Array.Sort);
        double[] median = [.. seconds.Select(s => s[Runs / 2])];
        double work = 2.0 * Tokens * latents * Width / 1e9;
        string Share(int way) => $"{work / median[way] / ceiling:P0}";
        object[] last = ways.Length > 2 ? [median[2] * 1e3, Share(2), median[1] / median[2]] : ["", "", ""];
        table.Row([plain.Path, latents, median[0] * 1e3, work / median[0], Share(0), median[1] * 1e3, Share(1), .. last, ceiling, allocated]);
        wEnc_LE.Buffer.Dispose();
        return work / median[0];
    }

    static double Seconds(Action<Matrix> action, Matrix acts_BE)
    {
        long start = Stopwatch.GetTimestamp();
        action(acts_BE);
        return Stopwatch.GetElapsedTime(start).TotalSeconds;
    }
}
