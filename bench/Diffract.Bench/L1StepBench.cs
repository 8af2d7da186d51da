using System.Diagnostics;
using Diffract.Compute.Buffers;
using Diffract.Cpu;
using Diffract.Cpu.Threads;
using Diffract.Crosscoders;
using Diffract.Training;

namespace Diffract.Bench;

/// <summary>
/// Steps of an L1 crosscoder in its two phases. Dense: at its initialisation, where about half of the pairs fire. Sparse: each latent's bias is set so that it fires at its own rate, log-normal,
/// three always; the learning rate is so small that they stay. The ceiling is measured anew for each row; C is what the encoder's operations alone take at it.
/// </summary>
static class L1StepBench
{
    const int WarmSteps = 3;
    const int MeasuredSteps = 15;
    const int Tokens = 1024;
    const int AlwaysOn = 3;

    public static void Run(BenchTable table, CpuPath path, int threads)
    {
        table.Note($"| step | E | L | B | L0 | ms | tokens/s | C, ms | times C | bytes allocated |\n|---|---|---|---|---|---|---|---|---|---|");
        List<string> details = [];
        Measure(table, details, path, threads, latents: 8192, activePerToken: null);
        foreach (double active in new double[] { 100, 400, 1000, 2000 })
        {
            Measure(table, details, path, threads, latents: 8192, active);
        }

        table.Note("");
        details.ForEach(table.Note);
    }

    // activePerToken null: the dense form, at the initialisation.
    static void Measure(BenchTable table, List<string> details, CpuPath path, int threads, int latents, double? activePerToken)
    {
        using TimedBackend backend = new(new CpuBackend(path, threads));
        CrosscoderConfig shape = new(CrosscoderKind.L1, latents, [256, 256]);
        TrainingConfig config = new()
        {
            Crosscoder = shape,
            Steps = WarmSteps + MeasuredSteps,
            Batch = Tokens,
            Warmup = 1,
            LearningRate = 1e-7,
            Mu = 0.04,
            Clip = TrainingConfig.DefaultClip(CrosscoderKind.L1),
            DenseAbove = activePerToken is null ? 0 : 1,
        };
        using Crosscoder crosscoder = new(shape, backend);
        CrosscoderInit.Paper(CrosscoderKind.L1, 1).Apply(crosscoder);
        Matrix[] batches = PlantedBatches.Make(4, Tokens, crosscoder.E);
        if (activePerToken is { } active)
        {
            SetRates(crosscoder, batches, active);
        }

        using TrainingState state = new(config, crosscoder);
        using TrainingStep step = new(config, crosscoder, state);
        StepRecord last = default;
        for (int i = 0; i < WarmSteps; i++)
        {
            last = step.Run(batches[i % batches.Length]);
        }

        double ceiling;
        using (WorkerPool pool = new(threads))
        {
            ceiling = FmaCeiling.Measure(pool, path);
        }

        step.Run(batches[0]);
        backend.Restart();
        double[] seconds = new double[MeasuredSteps];
        double pairs = 0;
        long allocated = GC.GetTotalAllocatedBytes(precise: true);
        for (int i = 0; i < MeasuredSteps; i++)
        {
            long start = Stopwatch.GetTimestamp();
            last = step.Run(batches[i % batches.Length]);
            seconds[i] = Stopwatch.GetElapsedTime(start).TotalSeconds;
            pairs += last.L0 / MeasuredSteps;
        }

        allocated = GC.GetTotalAllocatedBytes(precise: true) - allocated;
        Array.Sort(seconds);
        double median = seconds[MeasuredSteps / 2], encode = 2.0 * Tokens * latents * crosscoder.E / (ceiling * 1e9);
        string name = activePerToken is null ? "dense" : "sparse";
        table.Row(
            name, crosscoder.E, latents, Tokens, pairs, median * 1e3, Math.Round(Tokens / median), encode * 1e3, $"{median / encode:F2}x", allocated / MeasuredSteps);
        string parts = string.Join(
            ", ", backend.Seconds.Where(x => x.Value > 0).OrderByDescending(x => x.Value).Select(x => $"{x.Key} {x.Value / MeasuredSteps * 1e3:F2} ({x.Value / MeasuredSteps / encode:F2}x)"));
        details.Add($"{name}, L0 {pairs:F0}: fastest {seconds[0] * 1e3:F1} ms; ceiling {ceiling:F0} GFLOP/s; mean ms by op: {parts}");
    }

    /// <summary>Sets each bias so that its latent fires at its rate on the batches.</summary>
    static void SetRates(Crosscoder crosscoder, Matrix[] batches, double activePerToken)
    {
        Random random = new(9);
        double[] rates = [.. Enumerable.Range(0, crosscoder.Latents).Select(_ => Math.Exp(1.5 * PlantedBatches.Normal(random)))];
        double factor = (activePerToken - AlwaysOn) / rates.Sum();
        Matrix code_BL = Matrix.Host(Tokens, crosscoder.Latents);
        float[] values = new float[batches.Length * Tokens];
        float[][] byLatent = [.. Enumerable.Range(0, crosscoder.Latents).Select(_ => new float[values.Length])];
        crosscoder.BEnc_L.Row(0).Clear();
        for (int n = 0; n < batches.Length; n++)
        {
            crosscoder.Backend.Crosscoder.EncodeDense(batches[n], crosscoder.WEnc_LE, crosscoder.BEnc_L, code_BL);
            for (int b = 0; b < Tokens; b++)
            {
                Span<float> row = code_BL.Row(b);
                for (int j = 0; j < row.Length; j++)
                {
                    byLatent[j][n * Tokens + b] = row[j];
                }
            }
        }

        code_BL.Buffer.Dispose();
        for (int j = 0; j < crosscoder.Latents; j++)
        {
            Array.Sort(byLatent[j]);
            double rate = Math.Min(0.45, rates[j] * factor);
            crosscoder.BEnc_L.Row(0)[j] = j < AlwaysOn ? 1 : -byLatent[j][(int)((1 - rate) * (values.Length - 1))];
        }
    }
}
