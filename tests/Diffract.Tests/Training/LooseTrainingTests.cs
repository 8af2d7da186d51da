using System.Text.Json.Nodes;
using Diffract.Compute.Kernels;
using Diffract.Crosscoders;
using Diffract.Formats;
using Diffract.Kernels.Tests;
using Diffract.Runs;
using Diffract.Training;

namespace Diffract.Tests.Training;

public sealed class LooseTrainingTests : IDisposable
{
    readonly string _folder = Directory.CreateTempSubdirectory("diffract").FullName;
    readonly SilentProgress _silent = new();

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Theory]
    [InlineData("batchtopk", "avx2-1")]
    [InlineData("batchtopk", "reference")]
    [InlineData("l1", "avx2-1")]
    [InlineData("jumprelu", "avx2-1")]
    [InlineData("jumprelu", "reference")]
    public void A_stopped_training_goes_on_to_the_same_bits(string kind, string backendName)
    {
        using IBackend backend = BackendsUnderTest.Create(backendName);
        string x = Activations(40, 16, 6);
        TrainOptions options = Options(kind) with { CheckpointEvery = 7 };
        LooseTrainSettings whole = new(x, Path.Combine(_folder, "whole"), options) { Shuffled = true, Epochs = 2, };
        LooseTrainSettings stopped = whole with { Output = Path.Combine(_folder, "stopped") };
        LooseTraining.Run(whole, backend, _silent, CancellationToken.None);
        using (StopAfter stop = new(step: 40))
        {
            Assert.Throws<OperationCanceledException>(() => LooseTraining.Run(stopped, backend, stop, stop.Token));
        }

        // What a kill leaves: lines and a half-written checkpoint after the last whole one.
        File.AppendAllText(Path.Combine(stopped.Output, "log.jsonl"), "{\"step\":99");
        Directory.CreateDirectory(Path.Combine(stopped.Output, "checkpoints", "77.part"));
        Assert.False(File.Exists(Path.Combine(stopped.Output, "model.safetensors")));
        LooseTraining.Run(stopped, backend, _silent, CancellationToken.None);
        AssertSameFiles(whole.Output, stopped.Output);
    }

    [Theory]
    [InlineData("batchtopk")]
    [InlineData("l1")]
    [InlineData("jumprelu")]
    public void One_thread_and_three_give_the_same_bits(string kind)
    {
        string x = Activations(12, 32, 6);
        foreach (string backendName in (string[])["avx2-1", "avx2-3"])
        {
            using IBackend backend = BackendsUnderTest.Create(backendName);
            LooseTraining.Run(new LooseTrainSettings(x, Path.Combine(_folder, backendName), Options(kind)), backend, _silent, CancellationToken.None);
        }

        AssertSameFiles(Path.Combine(_folder, "avx2-1"), Path.Combine(_folder, "avx2-3"));
    }

    [Fact]
    public void A_damaged_checkpoint_is_passed_over_and_another_runs_is_refused()
    {
        using IBackend backend = BackendsUnderTest.Create("reference");
        string x = Activations(12, 16, 6);
        LooseTrainSettings settings = new(x, Path.Combine(_folder, "out"), Options("batchtopk") with { CheckpointEvery = 4 });
        LooseTraining.Run(settings, backend, _silent, CancellationToken.None);
        byte[] whole = File.ReadAllBytes(Path.Combine(settings.Output, "model.safetensors"));
        File.Delete(Path.Combine(settings.Output, "model.safetensors"));
        string weights = Path.Combine(settings.Output, "checkpoints", "8", "model.safetensors");
        byte[] bytes = File.ReadAllBytes(weights);
        bytes[^5] ^= 1;
        File.WriteAllBytes(weights, bytes);
        DiffractException e = Assert.Throws<DiffractException>(
            () => LooseTraining.Run(settings with { Options = settings.Options with { LearningRate = 0.5 } }, backend, _silent, CancellationToken.None));
        Assert.Contains("learningRate was 0.01, now 0.5", e.Message, StringComparison.Ordinal);
        Collected progress = new();
        LooseTraining.Run(settings, backend, progress, CancellationToken.None);
        Assert.Contains(progress.Warnings, w => w.Contains("checkpoint 8 is not used: model.safetensors", StringComparison.Ordinal));
        Assert.Contains(progress.Lines, l => l.Contains("going on at step 4", StringComparison.Ordinal));
        Assert.Equal(whole, File.ReadAllBytes(Path.Combine(settings.Output, "model.safetensors")));
    }

    [Fact]
    public void Given_options_win_over_the_first_weights_and_missing_ones_come_from_them()
    {
        using IBackend backend = BackendsUnderTest.Create("reference");
        string x = Activations(3, 16, 6);
        string init = Path.Combine(_folder, "init.safetensors");
        using (Crosscoder first = new(new CrosscoderConfig(CrosscoderKind.BatchTopK, 8, [6, 6]) { K = 3, CodeNorm = CodeNormKind.None }, backend))
        {
            new CrosscoderInit(1).Apply(first);
            first.Threshold = 0.25f;
            CrosscoderFolder.Save(_folder, first);
            File.Move(Path.Combine(_folder, "model.safetensors"), init);
        }

        TrainOptions options = new() { Warmup = 1, LearningRate = 0 };
        LooseTraining.Run(new LooseTrainSettings(x, Path.Combine(_folder, "a"), options) { Init = init }, backend, _silent, CancellationToken.None);
        LooseTraining.Run(
            new LooseTrainSettings(x, Path.Combine(_folder, "b"), options with { K = 2, CodeNorm = CodeNormKind.Crosscoder, ThresholdFrom = 50 }) { Init = init },
            backend, _silent, CancellationToken.None);
        using Crosscoder a = CrosscoderFolder.Load(Path.Combine(_folder, "a"), backend);
        using Crosscoder b = CrosscoderFolder.Load(Path.Combine(_folder, "b"), backend);
        Assert.Equal((CrosscoderKind.BatchTopK, 3, CodeNormKind.None, 0.25f), (a.Config.Kind, a.Config.K, a.Config.CodeNorm, a.Threshold));
        Assert.Equal((2, CodeNormKind.Crosscoder, 0.25f), (b.Config.K, b.Config.CodeNorm, b.Threshold));
    }

    [Theory]
    [InlineData("batchtopk_crosscoder", "b_dec")]
    [InlineData("sae_batchtopk", "code norm none")]
    public void First_weights_of_another_form_are_refused(string name, string message)
    {
        using IBackend backend = BackendsUnderTest.Create("reference");
        string run = GoldenFiles.Path($"crosscoder/{name}/run.safetensors");
        bool sae = name.StartsWith("sae", StringComparison.Ordinal);
        TrainOptions options = sae ? new TrainOptions { CodeNorm = CodeNormKind.Sae } : new TrainOptions { Kind = CrosscoderKind.BatchTopK, Sae = true };
        DiffractException e = Assert.Throws<DiffractException>(() => LooseTraining.Run(
            new LooseTrainSettings(run, Path.Combine(_folder, "form"), options) { Init = run }, backend, _silent, CancellationToken.None));
        Assert.Contains(message, e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_drawn_SAE_has_decoder_rows_of_length_1_before_and_after_training()
    {
        using IBackend backend = BackendsUnderTest.Create("avx2-1");
        string x = GoldenFiles.Path("crosscoder/sae_batchtopk/run.safetensors"), output = Path.Combine(_folder, "sae");
        TrainOptions options = new() { Kind = CrosscoderKind.BatchTopK, Sae = true, Latents = 40, K = 3, EncoderInitNorm = 0.5, Warmup = 2 };
        CrosscoderConfig config = options.Dictionary(CrosscoderKind.BatchTopK, 1, [16], 1);
        using (Crosscoder drawn = new(config, backend))
        {
            options.Init(1, [1]).Apply(drawn);
            Assert.All(Enumerable.Range(0, 40), j => Assert.Equal(1, drawn.Norms_LM.Row(j)[0], 5));
            Assert.All(Enumerable.Range(0, 40), j => Assert.Equal(0.5f * drawn.WDec_LE.Row(j)[3], drawn.WEnc_LE.Row(j)[3], 6));
        }

        LooseTraining.Run(new LooseTrainSettings(x, output, options), backend, _silent, CancellationToken.None);
        using Crosscoder trained = CrosscoderFolder.Load(output, backend);
        Assert.True(trained.Config.Sae);
        Assert.All(Enumerable.Range(0, 40), j => Assert.Equal(1, trained.Norms_LM.Row(j)[0], 5));
        Assert.All(Enumerable.Range(0, 40), j => Assert.Equal(1, trained.Scale_L.Row(0)[j]));
    }

    [Fact]
    public void Settings_that_cannot_be_meant_are_refused()
    {
        TrainingConfig config = new() { Crosscoder = new CrosscoderConfig(CrosscoderKind.BatchTopK, 8, [2, 2]) { K = 2 }, Steps = 10, Warmup = 1 };
        Assert.Equal(2, Assert.Throws<DiffractException>(() => (config with { KInitial = 4 }).Check()).ExitCode);
        Assert.Equal(2, Assert.Throws<DiffractException>(() => (config with { KInitial = 9, KAnnealingSteps = 3 }).Check()).ExitCode);
        (config with { KInitial = 4, KAnnealingSteps = 3 }).Check();
        Assert.Equal(2, Assert.Throws<DiffractException>(() => (config with { ResampleEvery = 3 }).Check()).ExitCode);
        Assert.Equal(2, Assert.Throws<DiffractException>(() => new TrainOptions { EncoderInitNorm = 1 }.Check()).ExitCode);
        Assert.Equal(2, Assert.Throws<DiffractException>(() => new TrainOptions { MixedAlphaCc = -1 }.Check()).ExitCode);
        Assert.Equal(2, Assert.Throws<DiffractException>(() => new TrainOptions { Warmup = 10 }.Over(config)).ExitCode);
        Assert.Equal([4, 3, 3, 2, 2], Enumerable.Range(0, 5).Select(t => (config with { KInitial = 4, KAnnealingSteps = 3 }).KAt(t)));
    }

    [Fact]
    public void The_default_warmup_may_outlast_a_short_run()
    {
        using IBackend backend = BackendsUnderTest.Create("reference");
        string output = Path.Combine(_folder, "short");
        LooseTraining.Run(
            new LooseTrainSettings(Activations(3, 16, 6), output, new TrainOptions { Kind = CrosscoderKind.L1, Latents = 8 }), backend, _silent, CancellationToken.None);
        double[] rates = [.. File.ReadAllLines(Path.Combine(output, "log.jsonl")).Select(line => JsonNode.Parse(line)!["lr"]!.GetValue<double>())];
        Assert.Equal(3, rates.Length);
        Assert.All(Enumerable.Range(0, 3), t => Assert.Equal(1e-3 * t / 1000, rates[t], 1e-12));
    }

    [Theory]
    [InlineData(null, CrosscoderKind.L1)]
    [InlineData("k", CrosscoderKind.BatchTopK)]
    [InlineData("threshold", CrosscoderKind.BatchTopK)]
    [InlineData("kind", CrosscoderKind.L1)]
    public void First_weights_without_k_are_L1s_unless_an_option_of_BatchTopK_is_given(string? option, CrosscoderKind expected)
    {
        using IBackend backend = BackendsUnderTest.Create("reference");
        string init = Path.Combine(_folder, "init.safetensors"), output = Path.Combine(_folder, "kind");
        using (Crosscoder first = new(new CrosscoderConfig(CrosscoderKind.L1, 8, [6, 6]), backend))
        {
            new CrosscoderInit(1).Apply(first);
            CrosscoderFolder.Save(_folder, first);
            File.Move(Path.Combine(_folder, "model.safetensors"), init);
        }

        TrainOptions options = option switch
        {
            "k" => new() { K = 2 },
            "threshold" => new() { ThresholdFrom = 1 },
            "kind" => new() { K = 2, Kind = CrosscoderKind.L1 },
            _ => new(),
        };
        LooseTraining.Run(new LooseTrainSettings(Activations(2, 16, 6), output, options) { Init = init }, backend, _silent, CancellationToken.None);
        using Crosscoder trained = CrosscoderFolder.Load(output, backend);
        Assert.Equal(expected, trained.Config.Kind);
    }

    [Fact]
    public void Every_line_of_the_log_has_the_keys_of_the_records_and_checkpoints_come_only_when_asked_for()
    {
        using IBackend backend = BackendsUnderTest.Create("reference");
        string output = Path.Combine(_folder, "out");
        LooseTraining.Run(new LooseTrainSettings(Activations(5, 16, 6), output, Options("l1")), backend, _silent, CancellationToken.None);
        string[] lines = File.ReadAllLines(Path.Combine(output, "log.jsonl"));
        Assert.Equal(5, lines.Length);
        foreach (string line in lines)
        {
            JsonObject values = JsonNode.Parse(line)!.AsObject();
            Assert.All("step loss l2 mse sparsity aux threshold dead k grad_norm lr".Split(' '), key => Assert.True(values.ContainsKey(key), key));
        }

        Assert.Equal(["config.json", "log.jsonl", "model.safetensors", "optimizer.safetensors"], Directory.GetFileSystemEntries(output).Select(Path.GetFileName).Order(StringComparer.Ordinal));
    }

    [Theory]
    [InlineData(float.NaN, "hold NaN at token 5 of the batch, model 1, column 2")]
    [InlineData(float.PositiveInfinity, "hold infinity at token 5 of the batch, model 1, column 2")]
    public void Activations_that_are_no_numbers_are_located(float value, string message)
    {
        using IBackend backend = BackendsUnderTest.Create("avx2-1");
        string x = Activations(4, 16, 6, values => values[((2 * 16 + 5) * 2 + 1) * 6 + 2] = value);
        foreach (string kind in (string[])["l1", "batchtopk"])
        {
            DiffractException e = Assert.Throws<DiffractException>(
                () => LooseTraining.Run(new LooseTrainSettings(x, Path.Combine(_folder, kind), Options(kind)), backend, _silent, CancellationToken.None));
            Assert.StartsWith("step 2: ", e.Message, StringComparison.Ordinal);
            Assert.Contains(message, e.Message, StringComparison.Ordinal);
            Assert.EndsWith("(row 37 of the activations, from 0)", e.Message, StringComparison.Ordinal);
            Assert.Equal(2, File.ReadAllLines(Path.Combine(_folder, kind, "log.jsonl")).Length);
        }
    }

    [Fact]
    public void A_loss_that_overflows_names_the_weights()
    {
        using IBackend backend = BackendsUnderTest.Create("reference");
        DiffractException e = Assert.Throws<DiffractException>(
            () => LooseTraining.Run(
                new LooseTrainSettings(Activations(8, 16, 6), _folder, Options("l1") with { LearningRate = 1e38, Warmup = 0 }), backend, _silent, CancellationToken.None));
        Assert.Contains("--lr", e.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("warmup", "--warmup 4")]
    [InlineData("k", "k = 9")]
    [InlineData("steps", "--steps 5")]
    [InlineData("batch", "--batch 8")]
    [InlineData("decay", "--decay-start 1")]
    [InlineData("beta", "--threshold-beta 1")]
    [InlineData("epochs", "--epochs 0")]
    public void Settings_that_do_not_fit_are_argument_errors_before_any_work(string what, string message)
    {
        using IBackend backend = BackendsUnderTest.Create("reference");
        TrainOptions options = Options("batchtopk");
        options = what switch
        {
            "warmup" => options with { Warmup = 4 },
            "k" => options with { K = 9 },
            "steps" => options with { Steps = 5 },
            "batch" => options with { Batch = 8 },
            "decay" => options with { DecayStart = 1 },
            "beta" => options with { ThresholdBeta = 1 },
            _ => options,
        };
        string output = Path.Combine(_folder, "none");
        DiffractException e = Assert.Throws<DiffractException>(() => LooseTraining.Run(
            new LooseTrainSettings(Activations(4, 16, 6), output, options) { Epochs = what == "epochs" ? 0 : 1 }, backend, _silent, CancellationToken.None));
        Assert.Contains(message, e.Message, StringComparison.Ordinal);
        Assert.Equal(DiffractException.BadArguments, e.ExitCode);
        Assert.False(Directory.Exists(output));
    }

    [Fact]
    public void A_file_of_another_shape_is_refused()
    {
        using IBackend backend = BackendsUnderTest.Create("reference");
        string path = Path.Combine(_folder, "flat.safetensors");
        SafetensorsWriter writer = new();
        writer.Add("x", new float[24], 4, 6);
        writer.Save(path);
        Assert.Contains("[4, 6]", Assert.Throws<DiffractException>(() => LooseTraining.Run(new LooseTrainSettings(path, _folder, new()), backend, _silent, CancellationToken.None)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Rows_without_batches_are_cut_in_order_and_shuffling_permutes_each_pass()
    {
        string path = Path.Combine(_folder, "rows.safetensors");
        SafetensorsWriter writer = new();
        writer.Add("x", Enumerable.Range(0, 7).Select(i => (float)i).ToArray(), 7, 1, 1);
        writer.Save(path);
        using StoredBatches stored = new(path, 3, null);
        Assert.Equal([0, 1, 2, 3, 4, 5], Rows(stored, 0, 1));
        Assert.Equal([0, 1, 2], Rows(stored, 2));
        using StoredBatches shuffled = new(path, 3, 5);
        float[] first = Rows(shuffled, 0, 1);
        Assert.Equal(6, first.Distinct().Count());
        Assert.NotEqual(first, Rows(shuffled, 2, 3));
        Assert.Equal(first, Rows(shuffled, 0, 1));
    }

    static float[] Rows(StoredBatches source, params long[] batches)
    {
        Compute.Buffers.Matrix acts = Compute.Buffers.Matrix.Host(3, 1);
        return [.. batches.SelectMany(b =>
        {
            source.Fill(b, acts);
            return Enumerable.Range(0, 3).Select(r => acts.Row(r)[0]).ToArray();
        })];
    }

    static TrainOptions Options(string kind) => new()
    {
        Kind = CrosscoderKinds.FromName(kind),
        Latents = 8,
        K = 2,
        Warmup = 2,
        LearningRate = 0.01,
        DeadAfter = 48,
        ThresholdFrom = 2,
        InitNorm = 1,
    };

    string Activations(int steps, int batch, int width, Action<float[]>? change = null)
    {
        float[] values = new float[steps * batch * 2 * width];
        for (int i = 0; i < values.Length; i++)
        {
            values[i] = (float)(4 * Draws.Uniform(3, (ulong)i, 0) - 1.5);
        }

        change?.Invoke(values);
        string path = Path.Combine(_folder, "x.safetensors");
        SafetensorsWriter writer = new();
        writer.Add("x", values, steps, batch, 2, width);
        writer.Save(path);
        return path;
    }

    static void AssertSameFiles(string a, string b)
    {
        foreach (string name in (string[])["model.safetensors", "optimizer.safetensors", "config.json", "log.jsonl"])
        {
            Assert.Equal(File.ReadAllBytes(Path.Combine(a, name)), File.ReadAllBytes(Path.Combine(b, name)));
        }
    }

    class Collected : IProgressSink
    {
        public List<string> Lines { get; } = [];

        public List<string> Warnings { get; } = [];

        public void Line(string text) => Lines.Add(text);

        public void Warn(string text) => Warnings.Add(text);

        public virtual void Report(string what, long done, long total, string unit, string? note = null)
        {
        }

        public void Done(string what, string summary)
        {
        }
    }

    /// <summary>Asks for a stop when a step is reported.</summary>
    sealed class StopAfter(long step) : Collected, IDisposable
    {
        readonly CancellationTokenSource _source = new();

        public CancellationToken Token => _source.Token;

        public override void Report(string what, long done, long total, string unit, string? note = null)
        {
            if (done >= step)
            {
                _source.Cancel();
            }
        }

        public void Dispose() => _source.Dispose();
    }
}
