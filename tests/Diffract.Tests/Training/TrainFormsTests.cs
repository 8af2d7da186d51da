using Diffract.Activations;
using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Crosscoders;
using Diffract.Formats;
using Diffract.Latents;
using Diffract.Runs;
using Diffract.Scaling;
using Diffract.Tokens;
using Diffract.Training;

namespace Diffract.Tests.Training;

/// <summary>SAEs, normalised activations and decoupled codes in a run folder: what they are trained on, what they record, and which later stages take them.</summary>
public sealed class TrainFormsTests(TrainStageTests.Harvested harvested) : IClassFixture<TrainStageTests.Harvested>
{
    readonly IBackend _backend = harvested.Backend;
    readonly RunFolder _run = harvested.Run;

    [Theory]
    [InlineData("base", TextSource.Document)]
    [InlineData("chat", TextSource.Chat)]
    [InlineData("difference_bc", TextSource.Chat)]
    [InlineData("difference_cb", TextSource.Chat)]
    public void An_SAE_sees_its_targets_activations(string name, TextSource text)
    {
        SaeTarget target = SaeTargets.Of(name);
        using ActivationStore store = ActivationStore.Open(_run, 1);
        using TokenStore tokens = TokenStore.Open(_run);
        ShuffledBatches pairs = new(store, tokens, 3, only: text);
        Assert.Equal(tokens.Documents.Where(d => d.Split == Split.Train && d.Source == text).Sum(d => (long)d.Length), pairs.DistinctTokens);
        TargetBatches batches = new(new ShuffledBatches(store, tokens, 3, only: SaeTargets.Text(target)), target);
        Matrix pairs_BE = Matrix.Host(20, 256), got_BE = Matrix.Host(20, 128);
        pairs.Fill(2, pairs_BE);
        batches.Fill(2, got_BE);
        for (int b = 0; b < 20; b++)
        {
            for (int d = 0; d < 128; d++)
            {
                float x = pairs_BE.Row(b)[d], y = pairs_BE.Row(b)[128 + d];
                Assert.Equal(name switch { "base" => x, "chat" => y, "difference_bc" => x - y, _ => y - x }, got_BE.Row(b)[d]);
            }
        }
    }

    [Fact]
    public void An_SAE_is_trained_and_later_stages_say_that_it_is_one()
    {
        TrainStage.Run(Context(), Settings(o => o with { Sae = true, Target = SaeTarget.DifferenceCb }));
        StageManifest manifest = Provenance.Require(_run, _run.Crosscoder("sae-difference_cb"), "diffract train");
        Assert.Equal("difference_cb", (string)manifest.Settings["target"]!);
        Assert.Equal("mse", (string)manifest.Settings["loss"]!);
        Assert.True((double)manifest.Facts["fvePooled"]! > 0.2);
        Assert.Equal((double)manifest.Facts["mse"]!, Assert.Single(manifest.Facts["mseByModel"]!.AsArray())!.GetValue<double>(), 1e-9);
        using (Crosscoder sae = CrosscoderFolder.Load(_run.Crosscoder("sae-difference_cb"), _backend))
        {
            Assert.True(sae.Config.Sae);
            Assert.Equal([128], sae.Config.Widths);
        }

        Assert.Contains("is an SAE", Message(() => LatentsStage.Run(Context(), new LatentsSettings { Name = "sae-difference_cb" })), StringComparison.Ordinal);
        Assert.Contains("is an SAE", Message(() => ScaleStage.Run(Context(), new ScaleSettings { Name = "sae-difference_cb" })), StringComparison.Ordinal);
        Assert.Contains("--target", Message(() => TrainStage.Run(Context(), Settings(o => o with { Sae = true }))), StringComparison.Ordinal);
        Assert.Contains("--kind sae", Message(() => TrainStage.Run(Context(), Settings(o => o with { Target = SaeTarget.Base }))), StringComparison.Ordinal);
    }

    [Fact]
    public void A_normalised_training_centres_and_scales_and_the_table_says_in_which_units()
    {
        TrainStage.Run(Context(), Settings(o => o with { Normalise = true, TargetRms = 4 }) with { Name = "normalised" });
        using (Crosscoder crosscoder = CrosscoderFolder.Load(_run.Crosscoder("normalised"), _backend))
        using (ActivationStore store = ActivationStore.Open(_run, 1))
        using (TokenStore tokens = TokenStore.Open(_run))
        {
            // The training tokens come out with mean 0 and a root mean square of 4 by model; a raw round trip is the identity.
            ShuffledBatches source = new(store, tokens, 42);
            int rows = (int)(source.DistinctTokens / 128 * 128);
            Matrix acts_BE = Matrix.Host(rows, 256), normalised_BE = Matrix.Host(rows, 256);
            source.Fill(0, acts_BE);
            crosscoder.Normalise(acts_BE, normalised_BE);
            for (int m = 0; m < 2; m++)
            {
                double[] means = [.. Enumerable.Range(128 * m, 128).Select(e => Enumerable.Range(0, rows).Average(b => (double)normalised_BE.Row(b)[e]))];
                double square = Enumerable.Range(128 * m, 128).Sum(e => Enumerable.Range(0, rows).Sum(b => (double)normalised_BE.Row(b)[e] * normalised_BE.Row(b)[e])) / (rows - 1);
                Assert.All(means, mean => Assert.Equal(0, mean, 1e-4));
                Assert.Equal(4, Math.Sqrt(square), 1e-3);
            }

            using SparseCode code = crosscoder.NewCode(rows);
            Matrix raw_BE = Matrix.Host(rows, 256), recon_BE = Matrix.Host(rows, 256);
            crosscoder.Encode(acts_BE, code);
            crosscoder.Decode(code, raw_BE);
            crosscoder.DecodeNormalised(code, recon_BE);
            ActivationNorm norm = crosscoder.Normalisation!;
            Assert.Equal(recon_BE.Row(5)[200] / norm.Scale_M[1] + norm.Mean_E[200], raw_BE.Row(5)[200], 1e-3f);
        }

        LatentsStage.Run(Context(), new LatentsSettings { Name = "normalised" });
        Assert.Contains("normalised activations (root mean square 4", (string)LatentTable.Open(_run, "normalised").Manifest.Facts["normUnits"]!, StringComparison.Ordinal);

        // Latent Scaling works in raw units there: betas and ratios are numbers.
        ScaleStage.Run(Context(), new ScaleSettings { Name = "normalised" });
        ScalingRow[] active = [.. ScalingTable.Open(_run, "normalised").Rows.Where(r => r.CountActive > 50)];
        Assert.NotEmpty(active);
        Assert.All(active, r => Assert.True(double.IsFinite(r.NuError)));
    }

    [Fact]
    public void A_stopped_training_of_every_form_goes_on_to_the_same_bits()
    {
        foreach ((string name, Func<TrainOptions, TrainOptions> form) in ((string, Func<TrainOptions, TrainOptions>)[])[
            ("resampled", o => o with { Kind = CrosscoderKind.L1, ResampleEvery = 7 }),
            ("decoupled", o => o with { CodeNorm = CodeNormKind.Decoupled, Normalise = true, KInitial = 12, KAnnealingSteps = 25, EncoderModels = [1] }),
        ])
        {
            TrainSettings settings = Settings(o => form(o) with { CheckpointEvery = 10 }) with { Name = name };
            TrainStage.Run(Context(), settings);
            string again = name + "-again";
            using CancellationTokenSource stop = new();
            Assert.Throws<OperationCanceledException>(() => TrainStage.Run(Context(new StopOnReport(stop), stop.Token), settings with { Name = again }));
            TrainStage.Run(Context(), settings with { Name = again });
            foreach (string file in (string[])["log.jsonl", "model.safetensors", "optimizer.safetensors"])
            {
                Assert.True(File.ReadAllBytes(Path.Combine(_run.Crosscoder(name), file)).SequenceEqual(File.ReadAllBytes(Path.Combine(_run.Crosscoder(again), file))), $"{name}: {file}");
            }
        }

        Assert.Equal(2, StageManifest.TryLoad(_run.Crosscoder("decoupled"))!.Facts["thresholds"]!.AsArray().Count);
        LatentsStage.Run(Context(), new LatentsSettings { Name = "decoupled" });
        using (Crosscoder crosscoder = CrosscoderFolder.Load(_run.Crosscoder("decoupled"), _backend))
        {
            // A scaled activation is the code times the norms of the models in which it is active, so at most times their sum.
            (float[] max_L, long[] active_L) = Largest(crosscoder, Split.HeldOut);
            Assert.All(LatentTable.Open(_run, "decoupled").Rows, r =>
            {
                Assert.Equal(active_L[r.Latent], r.Active);
                Assert.Equal(max_L[r.Latent], r.MaxActivation, 1e-5 * Math.Max(1, max_L[r.Latent]));
            });
            Assert.Contains(active_L, a => a > 0);
        }

        // The stage is the loose form on its own rows.
        ScaleStage.Run(Context(), new ScaleSettings { Name = "decoupled" });
        string x = Path.Combine(_run.Root, "decoupled.x"), y = Path.Combine(_run.Root, "decoupled.y");
        SafetensorsWriter writer = new();
        float[][] rows = Rows(Split.Scaling);
        writer.Add("x", rows.SelectMany(r => r).ToArray(), rows.Length, 2, 128);
        writer.Save(x);
        LooseReading reading = new() { Folder = _run.Crosscoder("decoupled"), Activations = x, Code = "chat" };
        LooseScaling.Run(_backend, new SilentProgress(), new LooseScalingSettings { Dictionary = reading, Out = y }, TestContext.Current.CancellationToken);
        using SafetensorsFile stage = SafetensorsFile.Open(Path.Combine(_run.Scaling("decoupled"), ScaleStage.TensorsFile)), loose = SafetensorsFile.Open(y);
        Assert.All(loose.Tensors.Keys, t => Assert.Equal(loose.Doubles(t), stage.Doubles(t), (a, b) => double.IsNaN(a) ? double.IsNaN(b) : Math.Abs(a - b) <= 1e-7 * (1 + Math.Abs(a))));
        Assert.Equal("chat", (string)ScalingTable.Open(_run, "decoupled").Manifest.Settings["code"]!);
        Assert.Contains("has one code for both", Message(() => ScaleStage.Run(Context(), new ScaleSettings { Name = "resampled", Code = "base" })), StringComparison.Ordinal);
    }

    [Fact]
    public void Sinks_are_positions_far_longer_than_the_median()
    {
        // The first model has lengths of 1 and 2, and one of 100 among 40; the second is even.
        FixedRows source = new([.. Enumerable.Range(0, 40).Select(b => (float[])[b == 7 ? 100 : 1 + b % 2, 0, 3])]);
        ActivationShape shape = ActivationShape.Of(source, Matrix.Host(10, 3));
        Assert.Equal([1 / 40.0, 0], shape.SinkShare_M);
    }

    float[][] Rows(Split split)
    {
        using ActivationStore store = ActivationStore.Open(_run, 1);
        using TokenStore tokens = TokenStore.Open(_run);
        Matrix row = Matrix.Host(1, 256);
        using IBuffer owner = row.Buffer;
        List<float[]> rows = [];
        foreach (TokenDocument document in tokens.Documents.Where(d => d.Split == split))
        {
            for (int t = 0; t < document.Rows; t++)
            {
                store.Read(document.FirstRow + t, 1, row);
                rows.Add(row.Row(0).ToArray());
            }
        }

        return [.. rows];
    }

    /// <summary>Largest scaled activation and number of active tokens of each latent of a decoupled code.</summary>
    (float[] Max_L, long[] Active_L) Largest(Crosscoder crosscoder, Split split)
    {
        float[] max_L = new float[crosscoder.Latents];
        long[] active_L = new long[crosscoder.Latents];
        using SparseCode code = crosscoder.NewCode(1);
        Matrix row = Matrix.Host(1, 256);
        using IBuffer owner = row.Buffer;
        foreach (float[] acts in Rows(split))
        {
            acts.CopyTo(row.Row(0));
            crosscoder.Encode(row, code);
            for (int i = 0; i < code.Pairs; i++)
            {
                int latent = code.TokenLatent.Span<int>()[i], pair = code.TokenPairs.Span<int>()[i], bits = code.PairModels!.Span<int>()[pair];
                float scale = ((bits & 1) != 0 ? crosscoder.Norms_LM.Row(latent)[0] : 0) + ((bits & 2) != 0 ? crosscoder.Norms_LM.Row(latent)[1] : 0);
                max_L[latent] = Math.Max(max_L[latent], code.PairValue.Span<float>()[pair] * scale);
                active_L[latent]++;
            }
        }

        return (max_L, active_L);
    }

    static string Message(Action action) => Assert.Throws<DiffractException>(action).Message;

    StageContext Context(IProgressSink? progress = null, CancellationToken stop = default) => new(_run, _backend, progress ?? new SilentProgress(), Stop: stop);

    static TrainSettings Settings(Func<TrainOptions, TrainOptions> form)
        => new() { Options = form(new TrainOptions { Kind = CrosscoderKind.BatchTopK, Latents = 64, K = 8, Steps = 30, Batch = 128, LearningRate = 0.01 }) };

    sealed class FixedRows(float[][] rows) : IBatchSource
    {
        public int[] ModelOffsets => [0, 2, 3];

        public long DistinctTokens => rows.Length;

        public void Fill(long index, Matrix acts_BE)
        {
            for (int b = 0; b < acts_BE.Rows; b++)
            {
                rows[(index * acts_BE.Rows + b) % rows.Length].CopyTo(acts_BE.Row(b));
            }
        }
    }

    sealed class StopOnReport(CancellationTokenSource source) : IProgressSink
    {
        public void Line(string text)
        {
        }

        public void Warn(string text)
        {
        }

        public void Report(string what, long done, long total, string unit, string? note = null)
        {
            if (what.StartsWith("train", StringComparison.Ordinal) && done >= 20)
            {
                source.Cancel();
            }
        }

        public void Done(string what, string summary)
        {
        }
    }
}
