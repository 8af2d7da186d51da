using System.Diagnostics;
using Diffract.Compute.Buffers;
using Diffract.Cpu;
using Diffract.Cpu.Threads;
using Diffract.Crosscoders;
using Diffract.Training;

namespace Diffract.Bench;

/// <summary>
/// Whole training steps on activations with planted directions whose rates are log-normal. Times are medians over the measured steps, after warm-up steps that
/// also train: firing statistics are those of a crosscoder that has begun to learn. The gate compares a step with what its encoder alone would take at the FMA ceiling.
/// </summary>
static class TrainStepBench
{
    const int WarmSteps = 60;
    const int MeasuredSteps = 25;

    public static void Run(BenchTable table, CpuPath path, int threads)
    {
        table.Note($"| step | E | L | B | k or L0 | ms | tokens/s | share of ceiling | times the encoder at the ceiling | bytes allocated |\n|---|---|---|---|---|---|---|---|---|---|");
        List<string> details = [];
        Measure(table, details, path, threads, "BatchTopK", CrosscoderKind.BatchTopK, width: 256, latents: 8192, tokens: 1024, k: 32);
        Measure(table, details, path, threads, "BatchTopK, aux", CrosscoderKind.BatchTopK, width: 256, latents: 8192, tokens: 1024, k: 32, deadAfter: 8 * 1024);
        Measure(table, details, path, threads, "BatchTopK", CrosscoderKind.BatchTopK, width: 128, latents: 2048, tokens: 1024, k: 32);

        table.Note("");
        details.ForEach(table.Note);
    }

    static void Measure(
        BenchTable table, List<string> details, CpuPath path, int threads, string name, CrosscoderKind kind, int width, int latents, int tokens, int k,
        long deadAfter = 10_000_000)
    {
        using TimedBackend backend = new(new CpuBackend(path, threads));
        CrosscoderConfig shape = new(kind, latents, [width, width]) { K = k };
        TrainingConfig config = new()
        {
            Crosscoder = shape,
            Steps = WarmSteps + MeasuredSteps,
            Batch = tokens,
            Warmup = 10,
            LearningRate = 2e-3,
            Clip = TrainingConfig.DefaultClip(kind),
            DeadAfter = deadAfter,
        };
        using Crosscoder crosscoder = new(shape, backend);
        CrosscoderInit.Paper(kind, 1).Apply(crosscoder);
        using TrainingState state = new(config, crosscoder);
        using TrainingStep step = new(config, crosscoder, state);
        Matrix[] batches = PlantedBatches.Make(8, tokens, 2 * width);
        double[] seconds = new double[MeasuredSteps];
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

        backend.Restart();
        step.Run(batches[0]);
        backend.Restart();
        TimeSpan processor = Environment.CpuUsage.TotalTime;
        long allocated = GC.GetTotalAllocatedBytes(precise: true);
        for (int i = 0; i < MeasuredSteps; i++)
        {
            long start = Stopwatch.GetTimestamp();
            last = step.Run(batches[i % batches.Length]);
            seconds[i] = Stopwatch.GetElapsedTime(start).TotalSeconds;
        }

        allocated = GC.GetTotalAllocatedBytes(precise: true) - allocated;
        // On a busy machine this is the better number: what the threads really ran, spinning included.
        double busy = (Environment.CpuUsage.TotalTime - processor).TotalSeconds / threads / MeasuredSteps;
        Array.Sort(seconds);
        double median = seconds[MeasuredSteps / 2], encode = 2.0 * tokens * latents * 2 * width / (ceiling * 1e9);
        table.Row(
            name, 2 * width, latents, tokens, last.L0, median * 1e3, Math.Round(tokens / median), $"{encode / median:P0}", $"{median / encode:F2}x", allocated / MeasuredSteps);
        string parts = string.Join(", ", backend.Seconds.Where(x => x.Value > 0).OrderByDescending(x => x.Value).Select(x => $"{x.Key} {x.Value / MeasuredSteps * 1e3:F2}"));
        details.Add($"{name}, E = {2 * width}, L = {latents}: fastest {seconds[0] * 1e3:F1} ms, processor time per thread {busy * 1e3:F1} ms; ceiling {ceiling:F0} GFLOP/s; mean ms by op: {parts}; dead {last.Dead}");
    }
}
