using System.Text.Json.Nodes;
using Diffract.Activations;
using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Crosscoders;
using Diffract.Latents;
using Diffract.Pipeline;
using Diffract.Runs;
using Diffract.Scaling;
using Diffract.Tests.Activations;
using Diffract.Tokens;
using Diffract.Training;

namespace Diffract.Tests.Training;

/// <summary>Trainings whose activations are made on the way have the bits of those that read a store of all activations.</summary>
public sealed class StreamedTrainingTests(StreamedTrainingTests.TwoRuns runs) : IClassFixture<StreamedTrainingTests.TwoRuns>
{
    const int Window = 700, Batch = 128;

    static readonly string[] Files = ["model.safetensors", "optimizer.safetensors", "config.json", "log.jsonl"];

    /// <summary>The same 6,000 tokens in two runs: one with the activations of two layers stored, one without.</summary>
    public sealed class TwoRuns : IDisposable
    {
        readonly TemporaryFolder _folder = new();

        public TwoRuns()
        {
            Stored = Tokenized("stored");
            Streamed = Tokenized("streamed");
            foreach (int layer in (int[])[1, 3])
            {
                HarvestStage.Run(new StageContext(Stored, Backend, new SilentProgress()), new HarvestSettings { Layer = layer });
            }
        }

        public RunFolder Stored { get; }

        public RunFolder Streamed { get; }

        public IBackend Backend { get; } = HarvestRuns.Backend();

        public RunFolder Tokenized(string name)
        {
            RunFolder run = RunFolder.Create(Path.Combine(_folder.Path, name));
            HarvestRuns.Tokenize(run, Pairs.Base, Pairs.Chat, 6000, 1);
            return run;
        }

        public void Dispose()
        {
            Backend.Dispose();
            _folder.Dispose();
        }
    }

    public static TheoryData<string, int> Kinds => new()
    {
        { "l1", 18 }, { "l1", 48 }, { "batchtopk", 48 }, { "jumprelu", 48 }, { "sae", 24 }, { "normalised", 24 }, { "target-l0", 12 },
    };

    /// <summary>18 steps are most of a pass, 48 about two: those forward every window anew. Weights, moments, log, and all checkpoints with their state.</summary>
    [Theory]
    [MemberData(nameof(Kinds))]
    public void Stored_and_streamed_trainings_are_equal_to_the_bit(string kind, int steps)
    {
        TrainSettings settings = Of($"{kind}-{steps}", kind, steps) with { Layer = 3 };
        TrainStage.Run(Context(runs.Stored), settings);
        ListProgress progress = new();
        Stream(runs.Streamed, [settings], progress);
        AssertSame(settings.Name!, runs.Streamed, settings.Name!, [steps / 3, 2 * (steps / 3)]);
        JsonObject facts = StageManifest.TryLoad(runs.Streamed.Crosscoder(settings.Name!))!.Facts;
        Assert.True((bool)facts["streamed"]!);
        Assert.Contains(progress.Lines, l => l.Contains($"{(long)facts["distinctTokensSeen"]!:N0} distinct tokens seen of ", StringComparison.Ordinal));
    }

    /// <summary>Between two windows, within one, while the first is made, and while a checkpoint is still fresh; the last part in another number of threads.</summary>
    [Theory]
    [InlineData("batchtopk", new[] { 3, 9, 31 })]
    [InlineData("l1", new[] { 1, 22, 31 })]
    public void Stopped_at_several_steps_it_goes_on_to_the_same_bits(string kind, int[] stops)
    {
        TrainSettings settings = Of("resumed-" + kind, kind, 50) with { Layer = 1 };
        TrainStage.Run(Context(runs.Stored), settings);
        foreach (int step in stops)
        {
            using CancellationTokenSource stop = new();
            Assert.ThrowsAny<OperationCanceledException>(() => Stream(runs.Streamed, [settings], new StopAt(stop, step), stop.Token));
            Assert.Null(StageManifest.TryLoad(runs.Streamed.Crosscoder(settings.Name!)));
        }

        using IBackend three = HarvestRuns.Backend(threads: 3);
        ListProgress progress = new();
        StreamedTraining.Run(new StageContext(runs.Streamed, three, progress) { Memory = new MemoryBudget(1L << 40) }, [settings], new HarvestSettings());
        Assert.Contains(progress.Lines, l => l.Contains("going on at step", StringComparison.Ordinal));
        AssertSame(settings.Name!, runs.Streamed, settings.Name!, [16, 32]);
    }

    /// <summary>Two layers, two kinds, two seeds: the models run once to the deeper layer, and each crosscoder has the bits of one that was trained alone on a store.</summary>
    [Fact]
    public void Several_layers_and_crosscoders_from_one_pass_are_those_of_each_alone()
    {
        TrainSettings[] list =
        [
            .. from layer in (int[])[3, 1] from kind in (string[])["batchtopk", "l1"] from seed in (int[])[1, 2]
               select Of($"many-{layer}-{kind}-{seed}", kind, 40) with { Layer = layer } is var s ? s with { Options = s.Options with { Seed = seed, OrderSeed = 5 } } : null,
        ];
        RunFolder run = runs.Tokenized("many");
        ListProgress progress = new();
        Stream(run, list, progress);
        Assert.Contains(progress.Lines, l => l.StartsWith("stream: output of blocks 1, 3 from one pass of the models", StringComparison.Ordinal));
        foreach (TrainSettings settings in list)
        {
            TrainStage.Run(Context(runs.Stored), settings);
            AssertSame(settings.Name!, run, settings.Name!, [13, 26]);
        }
    }

    /// <summary>A window at a time, and one model at a time, and every byte that is asked for: the plan follows the memory, the bits do not.</summary>
    [Fact]
    public void Little_memory_changes_the_plan_and_no_bit()
    {
        TrainSettings settings = Of("little", "batchtopk", 20) with { Layer = 1 };
        TrainStage.Run(Context(runs.Stored), settings);
        StreamNeeds all = Needs(long.MaxValue);
        Assert.Equal((true, 2), (all.Models.Together, all.Windows));
        StreamNeeds one = Needs(all.Models.Bytes - 1);
        Assert.Equal((true, 1), (one.Models.Together, one.Windows));
        StreamNeeds alone = Needs(one.Models.Bytes - all.WindowBytes - 1);
        Assert.False(alone.Models.Together);
        string refused = Assert.Throws<DiffractException>(() => Needs(alone.Models.Bytes / 2)).Message;
        Assert.Contains("for a window and 0 MiB for the training; train fewer layers or crosscoders at once, or lower --window or --latents", refused, StringComparison.Ordinal);

        using TokenStore tokens = TokenStore.Open(runs.Streamed);
        ShuffledOrder order = new(tokens, 42, window: Window);
        ListProgress progress = new();
        using LiveActivations stream = new(runs.Backend, tokens, [1], order, StorageKind.BFloat16, progress, CancellationToken.None);
        using ActivationStore store = ActivationStore.Open(runs.Stored, 1);
        IBatchSource made = stream.Batches(1), read = new ShuffledBatches(store, tokens, 42, window: Window);
        Matrix a_BE = Matrix.Host(Batch, 256), b_BE = Matrix.Host(Batch, 256);
        foreach (long memory in (long[])[long.MaxValue / 2, one.Models.Bytes, alone.Models.Bytes])
        {
            stream.Plan(0, new MemoryBudget(memory));
            foreach (long step in (long[])[0, 4, 5, 6, 21, 40, 3, 0])
            {
                made.Fill(step, a_BE);
                read.Fill(step, b_BE);
                for (int b = 0; b < Batch; b++)
                {
                    Assert.True(a_BE.Row(b).SequenceEqual(b_BE.Row(b)));
                    Assert.Equal(read.RowOf(step, b, Batch), made.RowOf(step, b, Batch));
                }
            }
        }

        Assert.Contains(progress.Lines, l => l.Contains("which waits for each window", StringComparison.Ordinal));
        Assert.Contains(progress.Lines, l => l.Contains("one model at a time", StringComparison.Ordinal));
    }

    /// <summary>No token is drawn twice before all have been drawn, and what the file says was consumed is what was.</summary>
    [Fact]
    public void Distinct_tokens_seen_are_those_that_are_claimed()
    {
        TrainSettings settings = Of("claimed", "batchtopk", 30) with { Layer = 1 };
        Stream(runs.Streamed, [settings], new SilentProgress());
        JsonNode consumed = JsonNode.Parse(File.ReadAllText(Path.Combine(runs.Streamed.Crosscoder("claimed"), "consumed.json")))!;
        using TokenStore tokens = TokenStore.Open(runs.Streamed);
        ShuffledOrder order = new(tokens, 42, window: Window);
        HashSet<long> seen = [];
        Dictionary<(long, long), HashSet<int>> documents = [];
        for (long at = 0; at < 30 * Batch; at++)
        {
            (long pass, long window, int place) = order.Locate(at);
            long row = order.RowOf((window * Window) + order.Places(pass, window)[place]);
            Assert.Equal(at < order.DistinctTokens, seen.Add(row));
            TokenDocument document = tokens.Documents.Last(d => d.FirstRow <= row);
            Assert.Equal(Split.Train, document.Split);
            if (!documents.TryGetValue((pass, window), out HashSet<int>? of))
            {
                documents[(pass, window)] = of = [];
            }

            of.Add(document.Number);
        }

        Assert.Equal(seen.Count, (long)consumed["distinctTokensSeen"]!);
        Assert.Equal(30 * Batch, consumed["windows"]!.AsArray().Sum(w => (long)w!["trainedOn"]!));
        Assert.Equal(documents.Count, consumed["windows"]!.AsArray().Count);
        foreach (JsonNode? w in consumed["windows"]!.AsArray().SkipLast(1))
        {
            HashSet<int> of = documents[((long)w!["pass"]!, (long)w["window"]!)];
            Assert.Equal((of.Min(), of.Max(), of.Count), ((int)w["firstDocument"]!, (int)w["lastDocument"]!, (int)w["documents"]!));
        }
    }

    /// <summary>The smaller store holds what they read, under the rows that it has in a store of everything.</summary>
    [Fact]
    public void Later_stages_make_of_it_what_they_make_of_a_stored_run()
    {
        TrainSettings settings = Of("later", "l1", 40) with { Layer = 3 };
        TrainStage.Run(Context(runs.Stored), settings);
        Stream(runs.Streamed, [settings], new SilentProgress());
        foreach (RunFolder run in (RunFolder[])[runs.Stored, runs.Streamed])
        {
            LatentsStage.Run(Context(run), new LatentsSettings { Name = "later" });
            ScaleStage.Run(Context(run), new ScaleSettings { Name = "later" });
        }

        Assert.Equal(Outputs(r => r.Latents("later"), runs.Stored), Outputs(r => r.Latents("later"), runs.Streamed));
        Assert.Equal(Outputs(r => r.Scaling("later"), runs.Stored), Outputs(r => r.Scaling("later"), runs.Streamed));

        static Dictionary<string, FileSeal> Outputs(Func<RunFolder, string> folder, RunFolder run) => StageManifest.TryLoad(folder(run))!.Outputs;
    }

    [Fact]
    public void What_a_stream_cannot_do_is_refused_before_it_begins()
    {
        TrainSettings a = Of("a", "batchtopk", 20) with { Layer = 1 };
        Assert.Contains("the orders of the seeds 1, 2; wanted one", Refused([a with { Options = a.Options with { Seed = 1 } }, a with { Name = "b", Options = a.Options with { Seed = 2 } }]), StringComparison.Ordinal);
        Assert.Contains("all tokens and chats; wanted one", Refused([a, Of("b", "sae", 20) with { Layer = 1 }]), StringComparison.Ordinal);
        Assert.Contains("--keep-tokens 100 is too small: validation takes 131,072", Refused([a with { Layer = 2 }], new HarvestSettings { KeepTokens = 100 }), StringComparison.Ordinal);
        DiffractException whole = Assert.Throws<DiffractException>(() => Stream(runs.Stored, [a], new SilentProgress()));
        Assert.Contains("activations/1 holds all activations of the layer; leave --stream out", whole.Message, StringComparison.Ordinal);
        string read = Assert.Throws<DiffractException>(() =>
        {
            Stream(runs.Streamed, [Of("there", "batchtopk", 10) with { Layer = 1 }], new SilentProgress());
            TrainStage.Run(Context(runs.Streamed), a);
        }).Message;
        Assert.Contains("train with --stream, or run `diffract harvest --fresh` for all", read, StringComparison.Ordinal);
        string memory = Assert.Throws<DiffractException>(() => StreamedTraining.Run(
            new StageContext(runs.Streamed, runs.Backend, new SilentProgress()) { Memory = new MemoryBudget(600L << 20, IsGiven: true) }, [a with { Options = a.Options with { Window = null, Latents = 60_000 } }], new HarvestSettings())).Message;
        Assert.Contains("--memory allows 600 MiB", memory, StringComparison.Ordinal);

        string Refused(TrainSettings[] list, HarvestSettings? keep = null)
            => Assert.Throws<DiffractException>(() => StreamedTraining.Run(Context(runs.Streamed), list, keep ?? new HarvestSettings())).Message;
    }

    static TrainSettings Of(string name, string kind, int steps) => new()
    {
        Name = name,
        Options = new TrainOptions
        {
            Kind = kind switch { "l1" or "target-l0" => CrosscoderKind.L1, "jumprelu" => CrosscoderKind.JumpReLU, _ => CrosscoderKind.BatchTopK },
            Sae = kind == "sae",
            Target = kind == "sae" ? SaeTarget.DifferenceCb : null,
            Normalise = kind == "normalised",
            TargetL0 = kind == "target-l0" ? 12 : null,
            ResampleEvery = kind == "l1" ? 7 : null,
            Latents = 64,
            K = 8,
            Steps = steps,
            Batch = Batch,
            LearningRate = 0.01,
            CheckpointEvery = steps / 3,
            Window = Window,
        },
    };

    StageContext Context(RunFolder run, IProgressSink? progress = null, CancellationToken stop = default)
        => new(run, runs.Backend, progress ?? new SilentProgress(), Stop: stop) { Memory = new MemoryBudget(1L << 40) };

    void Stream(RunFolder run, TrainSettings[] list, IProgressSink progress, CancellationToken stop = default) => StreamedTraining.Run(Context(run, progress, stop), list, new HarvestSettings());

    void AssertSame(string expected, RunFolder run, string actual, int[] checkpoints)
    {
        string a = runs.Stored.Crosscoder(expected), b = run.Crosscoder(actual);
        foreach (string file in Files.Concat(checkpoints.SelectMany(c => ((string[])["model.safetensors", "optimizer.safetensors", "state.json"]).Select(f => $"checkpoints/{c}/{f}"))))
        {
            Assert.True(File.ReadAllBytes(Path.Combine(a, file)).AsSpan().SequenceEqual(File.ReadAllBytes(Path.Combine(b, file))), file);
        }
    }

    static StreamNeeds Needs(long memory) => StreamNeeds.Of([Pairs.Base, Pairs.Chat], [1], 1000, 5, 4096, 512, StorageKind.BFloat16, 0, new MemoryBudget(memory));

    /// <summary>Stops a training in the step after the one asked for, by the lines of its log.</summary>
    sealed class StopAt(CancellationTokenSource stop, long step) : IProgressSink
    {
        public void Line(string text)
        {
        }

        public void Warn(string text)
        {
        }

        public void Report(string what, long done, long total, string unit, string? note = null)
        {
            if (unit == "steps" && done >= step)
            {
                stop.Cancel();
            }
        }

        public void Done(string what, string summary)
        {
        }
    }
}
