using System.Text.Json.Nodes;
using Diffract.Activations;
using Diffract.Compute.Kernels;
using Diffract.Crosscoders;
using Diffract.Runs;
using Diffract.Tests.Activations;
using Diffract.Tokens;
using Diffract.Training;

namespace Diffract.Tests.Training;

/// <summary>The stage over a small harvest of the embedded pair.</summary>
public sealed class TrainStageTests(TrainStageTests.Harvested harvested) : IClassFixture<TrainStageTests.Harvested>
{
    readonly IBackend _backend = harvested.Backend;
    readonly RunFolder _run = harvested.Run;

    /// <summary>3,000 tokens at layer 1, harvested once for all tests of the class.</summary>
    public sealed class Harvested : IDisposable
    {
        public Harvested()
        {
            Run = RunFolder.Create(Path.Combine(Folder.Path, "run"));
            HarvestRuns.Tokenize(Run, Path.Combine(GoldenFiles.Assets, "base"), Path.Combine(GoldenFiles.Assets, "chat"), 3000, 1);
            HarvestStage.Run(new StageContext(Run, Backend, new SilentProgress()), new HarvestSettings { Layer = 1 });
        }

        public TemporaryFolder Folder { get; } = new();

        public IBackend Backend { get; } = HarvestRuns.Backend();

        public RunFolder Run { get; }

        public void Dispose()
        {
            Backend.Dispose();
            Folder.Dispose();
        }
    }

    [Fact]
    public void A_stage_trains_records_what_it_measured_and_is_not_done_twice()
    {
        TrainStage.Run(Context(), Settings(CrosscoderKind.BatchTopK));
        string folder = _run.Crosscoder("batchtopk");
        StageManifest manifest = Provenance.Require(_run, folder, "diffract train", thorough: true);
        Assert.Equal(1, (int)manifest.Settings["layer"]!);
        Assert.Equal("batchtopk", (string)manifest.Settings["kind"]!);
        Assert.All("fvePooled fveMeanOfBatches l0 deadShare threshold".Split(' '), key => Assert.True(double.IsFinite((double)manifest.Facts[key]!), key));
        Assert.All("fveByModel gamma".Split(' '), key => Assert.Equal(2, manifest.Facts[key]!.AsArray().Count(v => double.IsFinite((double)v!))));
        Assert.True((double)manifest.Facts["fvePooled"]! > 0.3);
        using (Crosscoder crosscoder = CrosscoderFolder.Load(folder, _backend))
        {
            Assert.False(crosscoder.ThresholdUnset);
            Assert.Equal(64, crosscoder.Latents);
        }

        string[] lines = File.ReadAllLines(Path.Combine(folder, "log.jsonl"));
        Assert.Equal(30, lines.Count(l => l.Contains("\"loss\"", StringComparison.Ordinal)));
        Assert.False(Directory.Exists(Path.Combine(folder, "checkpoints")));

        DateTime written = File.GetLastWriteTimeUtc(Path.Combine(folder, "manifest.json"));
        TrainStage.Run(Context(), Settings(CrosscoderKind.BatchTopK));
        Assert.Equal(written, File.GetLastWriteTimeUtc(Path.Combine(folder, "manifest.json")));
        TrainSettings other = Settings(CrosscoderKind.BatchTopK) with { Options = Settings(CrosscoderKind.BatchTopK).Options with { LearningRate = 0.02 } };
        Assert.Contains("--fresh", Assert.Throws<DiffractException>(() => TrainStage.Run(Context(), other)).Message, StringComparison.Ordinal);

        TrainStage.Run(Context(), Settings(CrosscoderKind.BatchTopK) with { Options = Settings(CrosscoderKind.BatchTopK).Options with { K = 5, Seed = 2 } });
        JsonObject named = StageManifest.TryLoad(_run.Crosscoder("batchtopk-k5-s2"))!.Settings;
        Assert.Equal((5, 2), ((int)named["k"]!, (int)named["seed"]!));
    }

    [Fact]
    public void A_stopped_stage_goes_on_to_the_same_bits_and_validation_leaves_no_trace()
    {
        TrainStage.Run(Context(), Settings(CrosscoderKind.L1));
        using CancellationTokenSource stop = new();
        StopAt progress = new(20, stop);
        Assert.Throws<OperationCanceledException>(() => TrainStage.Run(Context(progress, stop.Token), Settings(CrosscoderKind.L1) with { Name = "again" }));
        Assert.Null(StageManifest.TryLoad(_run.Crosscoder("again")));
        TrainStage.Run(Context(), Settings(CrosscoderKind.L1) with { Name = "again" });
        Assert.Equal(Bytes("l1", "log.jsonl"), Bytes("again", "log.jsonl"));
        Assert.Equal(Bytes("l1", "model.safetensors"), Bytes("again", "model.safetensors"));
        Assert.Equal(Bytes("l1", "optimizer.safetensors"), Bytes("again", "optimizer.safetensors"));

        // The same training without any validation or checkpoint on the way.
        using ActivationStore store = ActivationStore.Open(_run, 1);
        using TokenStore tokens = TokenStore.Open(_run);
        ShuffledBatches source = new(store, tokens, 42);
        TrainOptions options = Settings(CrosscoderKind.L1).Options;
        TrainingConfig config = Preset.Demo.Configure(CrosscoderKind.L1, [128, 128], source.DistinctTokens, options);
        using Crosscoder crosscoder = new(config.Crosscoder, _backend);
        options.Init(Preset.Demo.InitNorm(CrosscoderKind.L1), config.Crosscoder.Widths).Apply(crosscoder);
        using Trainer trainer = new(config, crosscoder, source);
        using TemporaryFolder plain = new();
        using (TrainingLog log = new(Path.Combine(plain.Path, "log.jsonl"), 0))
        {
            trainer.Run(new TrainingOutputs(log), new SilentProgress(), CancellationToken.None);
        }

        CrosscoderFolder.Save(plain.Path, crosscoder);
        Assert.Equal(Bytes("l1", "model.safetensors"), File.ReadAllBytes(Path.Combine(plain.Path, "model.safetensors")));
    }

    [Fact]
    public void What_cannot_be_trained_on_is_refused()
    {
        Assert.Contains("diffract harvest", Message(Settings(CrosscoderKind.L1) with { Layer = 2 }), StringComparison.Ordinal);
        Assert.Contains("--preset paper", Message(Settings(CrosscoderKind.L1) with { Preset = "paper" }), StringComparison.Ordinal);
        Assert.Contains("fewer than one batch", Message(Settings(CrosscoderKind.L1) with { Options = new TrainOptions { Batch = 4096 } }), StringComparison.Ordinal);

        using TemporaryFolder elsewhere = new();
        foreach (string file in Directory.GetFiles(_run.Root, "*", SearchOption.AllDirectories))
        {
            string copy = Path.Combine(elsewhere.Path, _run.Relative(file));
            Directory.CreateDirectory(Path.GetDirectoryName(copy)!);
            File.Copy(file, copy);
        }

        RunFolder damaged = RunFolder.Open(elsewhere.Path);
        using (FileStream shard = File.Open(Path.Combine(damaged.Activations(1), "shard_00000.safetensors"), FileMode.Open))
        {
            shard.SetLength(shard.Length - 10);
        }

        DiffractException e = Assert.Throws<DiffractException>(() => TrainStage.Run(Context() with { Run = damaged }, Settings(CrosscoderKind.L1) with { Name = "other" }));
        Assert.Contains("shard_00000.safetensors", e.Message, StringComparison.Ordinal);
    }

    string Message(TrainSettings settings) => Assert.Throws<DiffractException>(() => TrainStage.Run(Context(), settings)).Message;

    byte[] Bytes(string name, string file) => File.ReadAllBytes(Path.Combine(_run.Crosscoder(name), file));

    StageContext Context(IProgressSink? progress = null, CancellationToken stop = default) => new(_run, _backend, progress ?? new SilentProgress(), Stop: stop);

    static TrainSettings Settings(CrosscoderKind kind) => new() { Options = new TrainOptions { Kind = kind, Latents = 64, K = 8, Mu = 0.03, Steps = 30, Batch = 128, LearningRate = 0.01 } };

    sealed class StopAt(long step, CancellationTokenSource source) : IProgressSink
    {
        public void Line(string text)
        {
        }

        public void Warn(string text)
        {
        }

        public void Report(string what, long done, long total, string unit, string? note = null)
        {
            if (what.StartsWith("train", StringComparison.Ordinal) && done >= step)
            {
                source.Cancel();
            }
        }

        public void Done(string what, string summary)
        {
        }
    }
}
