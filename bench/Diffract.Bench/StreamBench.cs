using System.Diagnostics;
using Diffract.Activations;
using Diffract.Cpu;
using Diffract.Crosscoders;
using Diffract.Pipeline;
using Diffract.Runs;
using Diffract.Tokens;
using Diffract.Training;

namespace Diffract.Bench;

/// <summary>
/// The verbs themselves on the embedded pair: `harvest` and then `train` over a store of all activations, against `train --stream` over the same tokens, which forwards each of them once too. One pass of training, several
/// windows; rounds are interleaved, medians over those after the first.
/// </summary>
static class StreamBench
{
    const int Layer = 3;
    const int Tokens = 75_000;
    // No smaller than the 65,536 tokens that the shape of activations is estimated from, which would be forwarded twice.
    const int Window = 1 << 16;
    const int Rounds = 4;

    public static void Run(BenchTable table, CpuPath path, int threads)
    {
        string folder = Directory.CreateTempSubdirectory("diffract-stream-").FullName;
        try
        {
            using CpuBackend backend = new(path, threads);
            RunFolder run = RunFolder.Create(Path.Combine(folder, "run"));
            string assets = HarvestBench.Assets();
            StageContext context = new(run, backend, new SilentProgress());
            TokenizeStage.Run(context, new TokenizeSettings
            {
                BaseModel = Path.Combine(assets, "base"),
                ChatModel = Path.Combine(assets, "chat"),
                Texts = [Path.Combine(assets, "documents.jsonl.gz")],
                Chats = [Path.Combine(assets, "chats.jsonl.gz")],
                MaxTokens = Tokens,
                TrainShare = 0.9,
                ScalingShare = 0.05,
                HeldOutShare = 0.05,
                LeastSplitTokens = 1,
            });
            long all, training;
            using (TokenStore tokens = TokenStore.Open(run))
            {
                (all, training) = (tokens.Rows, tokens.Documents.Where(d => d.Split == Split.Train).Sum(d => (long)d.Rows));
            }

            TrainSettings settings = new() { Layer = Layer, Name = "bench", Options = new TrainOptions { Kind = CrosscoderKind.BatchTopK, Steps = training / Preset.Demo.Batch, Window = Window } };
            double[] harvest = new double[Rounds], train = new double[Rounds], stream = new double[Rounds];
            for (int round = -1; round < Rounds; round++)
            {
                double[] seconds =
                [
                    Timed(() => HarvestStage.Run(context, new HarvestSettings { Layer = Layer })),
                    Timed(() => TrainStage.Run(context, settings)),
                ];
                Clear(run);
                double streamed = Timed(() => StreamedTraining.Run(context, [settings], new HarvestSettings()));
                Clear(run);
                if (round >= 0)
                {
                    (harvest[round], train[round], stream[round]) = (seconds[0], seconds[1], streamed);
                }

                Console.Error.WriteLine(FormattableString.Invariant($"round {round}: harvest {seconds[0]:F2} s, train {seconds[1]:F2} s, stream {streamed:F2} s"));
            }

            double[] ratios = [.. stream.Select((s, r) => s / (harvest[r] + train[r])).Order()];
            table.Header("", "median s", "least s", "most s");
            Row(table, "harvest", harvest);
            Row(table, "train", train);
            Row(table, "harvest and train", [.. harvest.Zip(train, (h, t) => h + t)]);
            Row(table, "train --stream", stream);
            table.Note("");
            table.Note(FormattableString.Invariant($"train --stream over harvest and train, by round: median {(ratios[(Rounds - 1) / 2] + ratios[Rounds / 2]) / 2:F3}, {ratios[0]:F3} to {ratios[^1]:F3}, of {Rounds} rounds"));
            table.Note($"{all:N0} tokens of both models to block {Layer}, {training:N0} of them trained on once in {settings.Options.Steps} steps of {Preset.Demo.Batch} (BatchTopK, 2,048 latents), windows of {Window:N0}; each token is forwarded once on either side.");
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    static double Timed(Action action)
    {
        long start = Stopwatch.GetTimestamp();
        action();
        return Stopwatch.GetElapsedTime(start).TotalSeconds;
    }

    static void Clear(RunFolder run)
    {
        Directory.Delete(run.Activations(Layer), recursive: true);
        Directory.Delete(run.Crosscoder("bench"), recursive: true);
    }

    static void Row(BenchTable table, string name, double[] seconds)
    {
        double[] sorted = [.. seconds.Order()];
        table.Row(name, (sorted[(sorted.Length - 1) / 2] + sorted[sorted.Length / 2]) / 2, sorted[0], sorted[^1]);
    }
}
