using Diffract.Cpu;
using Diffract.Cpu.Threads;

namespace Diffract.Bench;

/// <summary>
/// Whole BatchTopK steps on activations with planted directions whose rates are log-normal. The contenders take turns: a few steps each, of which the first is not counted, and a pass over memory
/// as Adam makes it. Times are medians, after warm-up steps that also train: firing statistics are those of a crosscoder that has begun to learn. C is what the encoder's operations alone take at
/// the FMA ceiling; the roofline adds Adam's traffic at the rate of that pass.
/// </summary>
static class TrainStepBench
{
    const int WarmSteps = 60;
    const int Rounds = 9;
    const int StepsPerRound = 3;

    public static void Run(BenchTable table, CpuPath path, int threads)
    {
        using TrainedSteps plain = new("BatchTopK, float32", path, threads, ScreeningMode.Off, width: 256, latents: 8192);
        using TrainedSteps screened = new("BatchTopK, screened", path, threads, ScreeningMode.On, width: 256, latents: 8192);
        using TrainedSteps aux = new("BatchTopK, aux, float32", path, threads, ScreeningMode.Off, width: 256, latents: 8192, deadAfter: 8 * 1024);
        using TrainedSteps portable = new("BatchTopK, float32, vector path", CpuPath.Vector, threads, ScreeningMode.Off, width: 256, latents: 8192);
        using TrainedSteps small = new("BatchTopK, float32", path, threads, ScreeningMode.Off, width: 128, latents: 2048);
        TrainedSteps[] contenders = [plain, screened, aux, portable, small];
        using WorkerPool pool = new(threads);
        using CopyCeiling copies = new(pool, plain.Latents, plain.Width);
        double fma = FmaCeiling.Measure(pool, path);
        foreach (TrainedSteps contender in contenders)
        {
            contender.Train(WarmSteps);
        }

        List<double> copy = [];
        for (int round = 0; round < Rounds; round++)
        {
            foreach (TrainedSteps contender in contenders)
            {
                contender.Measure(StepsPerRound);
            }

            copies.Measure();
            copy.Add(copies.Measure());
        }

        copy.Sort();
        fma = Math.Max(fma, FmaCeiling.Measure(pool, path));
        Print(table, contenders, fma, copies.Bytes / copy[Rounds / 2]);
        table.Note($"\nThe portable path runs at {plain.Median / portable.Median:P0} of the {path} path.");
        (double with, double without) = plain.Shards(Rounds);
        table.Note($"Virtual shards: decoding takes {with * 1e3:F2} ms in 32 shards, {without * 1e3:F2} ms in one: {(with - without) / plain.Median:P2} of the step.");
    }

    static void Print(BenchTable table, TrainedSteps[] contenders, double fma, double copyRate)
    {
        table.Note($"FMA ceiling {fma:F0} GFLOP/s; six streams in place {copyRate / 1e9:F1} GB/s\n");
        table.Header("step", "E", "L", "B", "L0", "ms", "tokens/s", "times C", "share of the roofline", "Adam's share of the time", "Adam's share of the copy ceiling", "bytes allocated");
        foreach (TrainedSteps c in contenders)
        {
            double encode = 2.0 * c.Tokens * c.Latents * c.Width / (fma * 1e9), traffic = 48.0 * c.Latents * c.Width / copyRate, adam = c.Seconds("UpdateLatents");
            table.Row(
                c.Name, c.Width, c.Latents, c.Tokens, c.Last.L0, c.Median * 1e3, Math.Round(c.Tokens / c.Median), $"{c.Median / encode:F2}", $"{(encode + traffic) / c.Median:P0}",
                $"{adam / c.Median:P0}", $"{traffic / adam:P0}", c.Allocated);
        }

        table.Note("");
        foreach (TrainedSteps c in contenders)
        {
            table.Note($"{c.Name}, E = {c.Width}, L = {c.Latents}: fastest {c.Fastest * 1e3:F1} ms; mean ms by op: {c.Parts}; dead {c.Last.Dead}");
        }
    }
}
