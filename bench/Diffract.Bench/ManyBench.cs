using System.Diagnostics;
using Diffract.Compute.Buffers;
using Diffract.Cpu;
using Diffract.Cpu.Threads;
using Diffract.Crosscoders;
using Diffract.Training;

namespace Diffract.Bench;

/// <summary>
/// Eight dictionaries of 2,048 latents (k 32) that share each batch, against one of 16,384 with k 256: the same encode and as many active pairs. Rounds are interleaved: a step of the large one,
/// then a step of each of the eight. Medians over the rounds, after warm-up rounds that also train.
/// </summary>
static class ManyBench
{
    const int Width = 256;
    const int Tokens = 1024;
    const int Parts = 8;

    /// <summary>Enough, with a small learning rate, for every dictionary to fill its k.</summary>
    const double ActivePerToken = 250;

    const int WarmRounds = 40;
    const int MeasuredRounds = 41;

    public static void Run(BenchTable table, CpuPath path, int threads)
    {
        // As two processes would have: what a backend learns about cuts from one code must not serve the other side.
        using TimedBackend alone = new(new CpuBackend(path, threads)), backend = new(new CpuBackend(path, threads));
        using Training large = new(alone, latents: 16384, k: 256, seed: 1);
        Training[] small = [.. Enumerable.Range(0, Parts).Select(i => new Training(backend, latents: 16384 / Parts, k: 256 / Parts, seed: i))];
        Matrix[] batches = PlantedBatches.Make(8, Tokens, 2 * Width, ActivePerToken);
        double[] one = new double[MeasuredRounds], many = new double[MeasuredRounds];
        Dictionary<string, double> oneOps = [], manyOps = [];
        for (int round = -WarmRounds; round < MeasuredRounds; round++)
        {
            Matrix acts_BE = batches[(round + WarmRounds) % batches.Length];
            double seconds = Timed(alone, oneOps, round, () => large.L0 = large.Step.Run(acts_BE).L0);
            double together = Timed(backend, manyOps, round, () =>
            {
                foreach (Training part in small)
                {
                    part.L0 = part.Step.Run(acts_BE).L0;
                }
            });
            if (round >= 0)
            {
                (one[round], many[round]) = (seconds, together);
            }
        }

        double ceiling;
        using (WorkerPool pool = new(threads))
        {
            ceiling = FmaCeiling.Measure(pool, path);
        }

        double[] ratios = [.. one.Zip(many, (a, b) => b / a).Order()];
        Array.Sort(one);
        Array.Sort(many);
        double encode = 2.0 * Tokens * 16384 * 2 * Width / (ceiling * 1e9);
        table.Header("dictionaries", "latents", "k", "L0 together", "E", "B", "ms a round", "times the encoder at the ceiling", "times the one");
        table.Row("one", 16384, 256, large.L0, 2 * Width, Tokens, one[MeasuredRounds / 2] * 1e3, one[MeasuredRounds / 2] / encode, 1.0);
        table.Row("eight", 16384 / Parts, 256 / Parts, small.Sum(s => s.L0), 2 * Width, Tokens, many[MeasuredRounds / 2] * 1e3, many[MeasuredRounds / 2] / encode, ratios[MeasuredRounds / 2]);
        table.Note("");
        table.Note($"Ceiling {ceiling:F0} GFLOP/s; quartiles of the ratio of each round {ratios[MeasuredRounds / 4]:F3} and {ratios[3 * MeasuredRounds / 4]:F3}.");
        table.Note("Mean ms a round by op, one: " + Parted(oneOps));
        table.Note("Mean ms a round by op, eight: " + Parted(manyOps));
        foreach (Training part in small)
        {
            part.Dispose();
        }
    }

    static double Timed(TimedBackend backend, Dictionary<string, double> ops, int round, Action step)
    {
        backend.Restart();
        long start = Stopwatch.GetTimestamp();
        step();
        double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
        foreach ((string op, double time) in backend.Seconds.Where(_ => round >= 0))
        {
            ops[op] = ops.GetValueOrDefault(op) + time;
        }

        return seconds;
    }

    static string Parted(Dictionary<string, double> ops)
        => string.Join(", ", ops.Where(o => o.Value > 0).OrderByDescending(o => o.Value).Select(o => FormattableString.Invariant($"{o.Key} {o.Value / MeasuredRounds * 1e3:F2}")));

    sealed class Training : IDisposable
    {
        readonly Crosscoder _crosscoder;
        readonly TrainingState _state;

        public Training(TimedBackend backend, int latents, int k, int seed)
        {
            CrosscoderConfig shape = new(CrosscoderKind.BatchTopK, latents, [Width, Width]) { K = k };
            TrainingConfig config = new()
            {
                Crosscoder = shape,
                Steps = WarmRounds + MeasuredRounds,
                Batch = Tokens,
                Warmup = 10,
                LearningRate = 1e-4,
                Clip = TrainingConfig.DefaultClip(CrosscoderKind.BatchTopK),
            };
            _crosscoder = new Crosscoder(shape, backend);
            CrosscoderInit.Paper(CrosscoderKind.BatchTopK, seed).Apply(_crosscoder);
            _state = new TrainingState(config, _crosscoder);
            Step = new TrainingStep(config, _crosscoder, _state);
        }

        public TrainingStep Step { get; }

        /// <summary>Active pairs per token of the last step.</summary>
        public double L0 { get; set; }

        public void Dispose()
        {
            Step.Dispose();
            _state.Dispose();
            _crosscoder.Dispose();
        }
    }
}
