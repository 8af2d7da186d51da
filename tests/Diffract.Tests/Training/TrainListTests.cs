using System.Text.Json.Nodes;
using Diffract.Activations;
using Diffract.Compute.Kernels;
using Diffract.Crosscoders;
using Diffract.Runs;
using Diffract.Tests.Activations;
using Diffract.Tests.Cli;
using Diffract.Tokens;
using Diffract.Training;

namespace Diffract.Tests.Training;

/// <summary>Several crosscoders from one pass over the activations of two layers.</summary>
public sealed class TrainListTests(TrainListTests.TwoLayers layers) : IClassFixture<TrainListTests.TwoLayers>
{
    static readonly string[] Options = ["--latents", "64", "--steps", "24", "--batch", "128", "--lr", "0.01"];

    readonly RunFolder _run = layers.Run;

    /// <summary>3,000 tokens at layers 1 and 2.</summary>
    public sealed class TwoLayers : IDisposable
    {
        readonly TemporaryFolder _folder = new();

        public TwoLayers()
        {
            Run = RunFolder.Create(Path.Combine(_folder.Path, "run"));
            HarvestRuns.Tokenize(Run, Path.Combine(GoldenFiles.Assets, "base"), Path.Combine(GoldenFiles.Assets, "chat"), 3000, 1);
            foreach (int layer in (int[])[1, 2])
            {
                HarvestStage.Run(new StageContext(Run, Backend, new SilentProgress()), new HarvestSettings { Layer = layer });
            }
        }

        public RunFolder Run { get; }

        public IBackend Backend { get; } = HarvestRuns.Backend();

        public void Dispose()
        {
            Backend.Dispose();
            _folder.Dispose();
        }
    }

    /// <summary>L1 has no k: two kinds, two k, two seeds and two layers are twelve crosscoders. Each has the bits of the same one trained alone.</summary>
    [Fact]
    public void Every_combination_gets_its_folder_and_the_bits_of_one_trained_alone()
    {
        (int code, string output, string error) = Train("--name", "many", "--kind", "batchtopk,l1", "--k", "4,8", "--seed", "1,2", "--layer", "1,2", "--mu", "0.03");
        Assert.True(code == 0, error);
        Assert.Contains("train: 12 crosscoders from one pass over the activations, ", output, StringComparison.Ordinal);
        string[] names = [.. _run.Names("crosscoders").Where(n => n.StartsWith("many-", StringComparison.Ordinal))];
        Assert.Equal(12, names.Length);
        Assert.Equal((8, 2, 2), Of("many-batchtopk-layer2-k8-s2", s => ((int)s["k"]!, (int)s["layer"]!, (int)s["seed"]!)));
        Assert.Equal(("l1", 1), Of("many-l1-layer2-s1", s => ((string)s["kind"]!, (int)s["seed"]!)));

        (code, _, error) = Train("--name", "alone", "--k", "8", "--seed", "2", "--layer", "2", "--order-seed", "1");
        Assert.True(code == 0, error);
        AssertSame("alone", "many-batchtopk-layer2-k8-s2");
        Assert.Equal(File.ReadAllText(Path.Combine(_run.Crosscoder("alone"), "log.jsonl")), File.ReadAllText(Path.Combine(_run.Crosscoder("many-batchtopk-layer2-k8-s2"), "log.jsonl")));

        (code, output, error) = Train("--name", "many", "--kind", "batchtopk,l1", "--k", "4,8", "--seed", "1,2", "--layer", "1,2", "--mu", "0.03");
        Assert.Equal((0, 12), (code, output.Split("is there already").Length - 1));
    }

    /// <summary>Stopped when one had finished and two had not; then one of those two is trained further by itself. The same call then ends all three with the same bits.</summary>
    [Fact]
    public void Members_at_different_steps_go_on_each_from_its_own()
    {
        TrainSettings Member(string name, int seed, long steps) => new()
        {
            Layer = 1,
            Name = name,
            Options = new TrainOptions { Latents = 64, K = 8, Steps = steps, Batch = 128, LearningRate = 0.01, Seed = seed, OrderSeed = 1, CheckpointEvery = 3 },
        };
        TrainSettings[] List(string prefix) => [Member(prefix + "a", 1, 10), Member(prefix + "b", 2, 34), Member(prefix + "c", 3, 31)];
        TrainStage.Run(Context(), List("whole-"));
        StopAt(11, List("cut-"));
        Assert.NotNull(StageManifest.TryLoad(_run.Crosscoder("cut-a")));
        StopAt(21, [List("cut-")[1]]);
        ListProgress progress = new();
        TrainStage.Run(Context(progress), List("cut-"));
        Assert.Contains(progress.Lines, l => l.Contains("cut-a is there already", StringComparison.Ordinal));
        Assert.Contains(progress.Lines, l => l.StartsWith("train cut-b", StringComparison.Ordinal) && l.EndsWith("going on at step 30", StringComparison.Ordinal));
        Assert.Contains(progress.Lines, l => l.StartsWith("train cut-c", StringComparison.Ordinal) && l.EndsWith("going on at step 20", StringComparison.Ordinal));
        foreach (string name in (string[])["a", "b", "c"])
        {
            AssertSame("whole-" + name, "cut-" + name);
            Assert.Equal(Bytes("whole-" + name, "log.jsonl"), Bytes("cut-" + name, "log.jsonl"));
        }
    }

    /// <summary>The search is in the manifest; a training that goes on does not search again.</summary>
    [Fact]
    public void A_searched_mu_is_recorded_and_kept()
    {
        TrainSettings settings = new()
        {
            Layer = 1,
            Name = "searched",
            Options = new TrainOptions { Kind = CrosscoderKind.L1, Latents = 64, Steps = 40, Batch = 128, LearningRate = 0.01, TargetL0 = 20, SearchSteps = 15, CheckpointEvery = 10 },
        };
        StopAt(20, [settings]);
        ListProgress progress = new();
        TrainStage.Run(Context(progress), settings);
        Assert.DoesNotContain(progress.Lines, l => l.Contains("trial", StringComparison.Ordinal));
        Assert.Contains(progress.Lines, l => l.EndsWith("going on at step 20", StringComparison.Ordinal));
        JsonObject made = StageManifest.TryLoad(_run.Crosscoder("searched"))!.Settings;
        Assert.Equal(20, (double)made["targetL0"]!);
        Assert.Contains((double)made["mu"]!, made["muTrials"]!.AsArray().Select(t => (double)t!["mu"]!));
        DiffractException e = Assert.Throws<DiffractException>(() => TrainStage.Run(Context(), settings with { Options = settings.Options with { TargetL0 = 25 } }));
        Assert.Contains("targetL0 was 20, now 25", e.Message, StringComparison.Ordinal);
    }

    /// <summary>The first row of the store whose model 1 is no number is named, wherever the order puts it.</summary>
    [Fact]
    public void An_activation_of_the_store_that_is_no_number_is_named_by_its_row()
    {
        using TemporaryFolder copy = new();
        foreach (string file in Directory.GetFiles(_run.Root, "*", SearchOption.AllDirectories).Where(f => !f.Contains("crosscoders", StringComparison.Ordinal)))
        {
            string target = Path.Combine(copy.Path, _run.Relative(file));
            Directory.CreateDirectory(Path.GetDirectoryName(target)!);
            File.Copy(file, target);
        }

        RunFolder run = RunFolder.Open(copy.Path);
        using TokenStore tokens = TokenStore.Open(run);
        TokenDocument document = tokens.Documents.First(d => d.Split == Split.Train && d.Length > 4);
        long row = document.Start + 3;
        string shard = Path.Combine(run.Activations(1), "shard_00000.safetensors");
        byte[] bytes = File.ReadAllBytes(shard);
        int data = 8 + (int)BitConverter.ToUInt64(bytes), width = 256;
        // x is the first tensor, in bfloat16: 7FC0 is NaN.
        (bytes[data + 2 * (row * width + 130)], bytes[data + 2 * (row * width + 130) + 1]) = (0xC0, 0x7F);
        File.WriteAllBytes(shard, bytes);
        StageManifest manifest = StageManifest.TryLoad(run.Activations(1))!;
        manifest.Outputs["shard_00000.safetensors"] = AtomicFile.Seal(shard);
        manifest.Save(run.Activations(1));
        DiffractException e = Assert.Throws<DiffractException>(() => TrainStage.Run(
            Context() with { Run = run }, new TrainSettings { Layer = 1, Options = new TrainOptions { Latents = 64, K = 8, Batch = 64 } }));
        Assert.Contains("the activations hold NaN at token", e.Message, StringComparison.Ordinal);
        Assert.EndsWith($"model 1, column 2; harvest them again, or check the file (row {row} of the activations, from 0)", e.Message, StringComparison.Ordinal);
    }

    /// <summary>One that cannot go on is named and leaves the others alone.</summary>
    [Fact]
    public void A_member_that_fails_does_not_stop_the_others()
    {
        TrainSettings good = new() { Layer = 1, Name = "good", Options = new TrainOptions { Latents = 64, K = 8, Steps = 12, Batch = 128, LearningRate = 0.01 } };
        TrainSettings bad = good with { Name = "bad", Options = good.Options with { Kind = CrosscoderKind.L1, LearningRate = 1e38, Warmup = 0 } };
        ListProgress progress = new();
        DiffractException e = Assert.Throws<DiffractException>(() => TrainStage.Run(Context(progress), [bad, good]));
        Assert.Contains("--lr", e.Message, StringComparison.Ordinal);
        Assert.Contains(progress.Warnings, w => w.StartsWith("train bad stops: ", StringComparison.Ordinal));
        Assert.NotNull(StageManifest.TryLoad(_run.Crosscoder("good")));
        Assert.Null(StageManifest.TryLoad(_run.Crosscoder("bad")));
    }

    [Fact]
    public void A_list_file_gives_each_its_own_options()
    {
        string list = Path.Combine(_run.Root, "list.json");
        File.WriteAllText(list, """[{"kind": "l1", "mu": 0.03, "name": "filed"}, {"k": 4, "seed": 1}, {"k": 4, "seed": 2, "latents": 32}]""");
        (int code, _, string error) = Train("--layer", "1", "--list", list);
        Assert.True(code == 0, error);
        Assert.Equal("l1", Of("filed", s => (string)s["kind"]!));
        Assert.Equal((32, 4), Of("batchtopk-latents32-k4-s2", s => ((int)s["latents"]!, (int)s["k"]!)));
    }

    [Theory]
    [InlineData("--k two does not fit; wanted a whole number, or several, with commas", "--k", "two")]
    [InlineData("--k x does not fit; wanted a whole number", "--k", "4,x")]
    [InlineData("--kind topk does not fit; wanted one of", "--kind", "l1,topk")]
    [InlineData("gone.json does not exist", "--list", "gone.json")]
    [InlineData("broken.json is no list: wanted [{", "--list", "broken.json")]
    [InlineData("in the list: --frob is not an option", "--list", "unknown.json")]
    [InlineData("two crosscoders of the list are called same", "--list", "twice.json")]
    [InlineData("batches of 128 and 64 tokens cannot share a pass", "--list", "batches.json")]
    [InlineData("loose files train one crosscoder", "--activations", "x.safetensors", "--out", "o", "--k", "1,2")]
    public void What_cannot_be_a_list_is_refused(string message, params string[] arguments)
    {
        foreach ((string name, string text) in ((string, string)[])[
            ("broken.json", "{"), ("unknown.json", """[{"frob": 1}]"""), ("twice.json", """[{"name": "same"}, {"name": "same", "k": 3}]"""),
            ("batches.json", """[{"name": "x128"}, {"name": "x64", "batch": 64}]""")])
        {
            File.WriteAllText(Path.Combine(_run.Root, name), text);
        }

        string[] run = arguments.Contains("--activations") ? [] : [_run.Root, "--layer", "1", .. Options];
        (int code, _, string error) = CommandLine.Run(_run.Root, ["train", .. run, .. arguments]);
        Assert.Contains(message, Assert.Single(error.TrimEnd().Split('\n')), StringComparison.Ordinal);
        Assert.Equal(2, code);
    }

    (int Code, string Output, string Error) Train(params string[] arguments) => CommandLine.Run(_run.Root, ["train", _run.Root, .. Options, .. arguments]);

    T Of<T>(string name, Func<JsonObject, T> select) => select(StageManifest.TryLoad(_run.Crosscoder(name))!.Settings);

    void StopAt(long step, IReadOnlyList<TrainSettings> list)
    {
        using CancellationTokenSource stop = new();
        ListProgress progress = new() { Reported = done => (done >= step ? stop : null)?.Cancel() };
        Assert.Throws<OperationCanceledException>(() => TrainStage.Run(Context(progress) with { Stop = stop.Token }, list));
    }

    void AssertSame(string a, string b)
    {
        Assert.Equal(Bytes(a, "model.safetensors"), Bytes(b, "model.safetensors"));
        Assert.Equal(Bytes(a, "optimizer.safetensors"), Bytes(b, "optimizer.safetensors"));
    }

    byte[] Bytes(string name, string file) => File.ReadAllBytes(Path.Combine(_run.Crosscoder(name), file));

    StageContext Context(IProgressSink? progress = null) => new(_run, layers.Backend, progress ?? new SilentProgress());
}
