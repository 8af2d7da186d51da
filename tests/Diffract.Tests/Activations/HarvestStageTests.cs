using Diffract.Activations;
using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Llms;
using Diffract.Runs;
using Diffract.Tokens;

namespace Diffract.Tests.Activations;

public sealed class HarvestStageTests : IDisposable
{
    static readonly string Base = Path.Combine(GoldenFiles.Assets, "base"), Chat = Path.Combine(GoldenFiles.Assets, "chat");
    readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Each_row_is_its_token_s_residual_in_both_models_whatever_the_batch()
    {
        RunFolder run = Tokenized();
        Harvest(run, Settings(1) with { Storage = StorageKind.Float32 });
        using TokenStore tokens = TokenStore.Open(run);
        using ActivationStore store = ActivationStore.Open(run, 1);
        Assert.Equal((tokens.Tokens, 256, 1), (store.Rows, store.E, store.Layer));
        Assert.Equal([0, 128, 256], store.ModelOffsets);
        using IBackend backend = HarvestRuns.Backend();
        using Llm chat = Llm.Load(Chat, backend, headNeeded: false);
        foreach (TokenDocument d in (TokenDocument[])[tokens.Documents[0], tokens.Documents[^1]])
        {
            TokenBatch batch = new(d.Length, 1);
            batch.Add(tokens.Ids(d));
            Matrix resid_TD = Matrix.Host(d.Length, 128), acts_BE = Matrix.Host(d.Length, 256);
            chat.RunTo(batch, 1, resid_TD);
            store.Read(d.Start, d.Length, acts_BE);
            for (int t = 0; t < d.Length; t++)
            {
                Assert.True(resid_TD.Row(t).SequenceEqual(acts_BE.Row(t)[128..]));
            }
        }
    }

    [Fact]
    public void Bf16_is_the_rounded_value_and_the_statistics_are_those_before_rounding()
    {
        RunFolder run = Tokenized();
        Harvest(run, Settings(0));
        RunFolder other = Tokenized("other");
        Harvest(other, Settings(0) with { Storage = StorageKind.Float32 });
        using ActivationStore rounded = ActivationStore.Open(run, 0), exact = ActivationStore.Open(other, 0);
        (Matrix a_BE, Matrix b_BE) = (All(rounded), All(exact));
        for (int r = 0; r < a_BE.Rows; r++)
        {
            for (int e = 0; e < a_BE.Columns; e++)
            {
                Assert.Equal(BFloat16.ToSingle(BFloat16.FromSingle(b_BE.Row(r)[e])), a_BE.Row(r)[e]);
            }
        }

        (double[] mean_E, double[] variance_E) = rounded.Statistics();
        Assert.Equal(exact.Statistics().Mean_E, mean_E);
        foreach (int e in (int[])[0, 77, 200])
        {
            double[] column = [.. Enumerable.Range(0, b_BE.Rows).Select(r => (double)b_BE.Row(r)[e])];
            double mean = column.Average(), variance = column.Sum(v => (v - mean) * (v - mean)) / (column.Length - 1);
            Assert.Equal(mean, mean_E[e], 1e-10 * Math.Abs(mean) + 1e-10);
            Assert.Equal(variance, variance_E[e], 1e-10 * variance);
        }
    }

    [Fact]
    public void A_stopped_harvest_goes_on_to_the_same_bytes()
    {
        RunFolder whole = Tokenized("whole"), stopped = Tokenized("stopped");
        Harvest(whole, Settings(0));
        using CancellationTokenSource stop = new();
        Assert.ThrowsAny<OperationCanceledException>(() => Harvest(stopped, Settings(0), new StopAfter(stop, 700), stop: stop.Token));
        string[] made = Directory.GetFiles(stopped.Activations(0), "shard_*.safetensors");
        Assert.NotEmpty(made);
        Assert.False(File.Exists(Path.Combine(stopped.Activations(0), StageManifest.FileName)));
        Assert.Contains("harvest", Assert.Throws<DiffractException>(() => ActivationStore.Open(stopped, 0)).Message, StringComparison.Ordinal);

        // A shard that lost its end is made again.
        using (FileStream file = File.OpenWrite(made[0]))
        {
            file.SetLength(file.Length - 100);
        }

        Harvest(stopped, Settings(0));
        string[] expected = [.. Directory.GetFiles(whole.Activations(0), "s*.safetensors").Order(StringComparer.Ordinal)];
        Assert.True(expected.Length > 4);
        Assert.All(expected, f => Assert.Equal(File.ReadAllBytes(f), File.ReadAllBytes(Path.Combine(stopped.Activations(0), Path.GetFileName(f)))));
        Assert.Equal(StageManifest.TryLoad(whole.Activations(0))!.Outputs, StageManifest.TryLoad(stopped.Activations(0))!.Outputs);
    }

    [Fact]
    public void Threads_and_batches_do_not_change_a_bit()
    {
        RunFolder a = Tokenized("a"), b = Tokenized("b");
        Harvest(a, Settings(1), threads: 1);
        Harvest(b, Settings(1) with { BatchTokens = 1500 }, threads: 3);
        Assert.Equal(StageManifest.TryLoad(a.Activations(1))!.Fingerprint(), StageManifest.TryLoad(b.Activations(1))!.Fingerprint());
    }

    [Fact]
    public void A_changed_checkpoint_is_refused()
    {
        string copy = HarvestRuns.Copy(Chat, Path.Combine(_folder.Path, "chat"));
        RunFolder run = Tokenized(chat: copy);
        using (FileStream file = File.Open(Path.Combine(copy, "model.safetensors"), FileMode.Open))
        {
            file.Position = file.Length - 1;
            int last = file.ReadByte();
            file.Position = file.Length - 1;
            file.WriteByte((byte)(last ^ 1));
        }

        DiffractException e = Assert.Throws<DiffractException>(() => Harvest(run, Settings(0)));
        Assert.Contains("the chat checkpoint", e.Message, StringComparison.Ordinal);
        Assert.Contains("has changed since", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Nan_is_named_by_model_document_and_position()
    {
        // NaN in the embedding of the token at position 3 of the second document.
        string copy = HarvestRuns.Copy(Base, Path.Combine(_folder.Path, "base"));
        int id;
        using (TokenStore tokens = TokenStore.Open(Tokenized("first")))
        {
            HashSet<int> before = [.. tokens.Ids(tokens.Documents[0]), .. tokens.Ids(tokens.Documents[1])[..3]];
            int at = tokens.Ids(tokens.Documents[1]).ToArray().ToList().FindIndex(i => !before.Contains(i));
            id = tokens.Ids(tokens.Documents[1])[at];
            HarvestRuns.PutNan(Path.Combine(copy, "model.safetensors"), "model.embed_tokens.weight", id * 128L);
            RunFolder run = Tokenized("second", baseModel: copy);
            DiffractException e = Assert.Throws<DiffractException>(() => Harvest(run, Settings(0)));
            Assert.Contains($"the base model's activations after block 0 are not finite at position {at} of document 1 (c2-0)", e.Message, StringComparison.Ordinal);
        }
    }

    [Theory]
    [InlineData(-1)]
    [InlineData(6)]
    public void A_layer_out_of_range_is_a_bad_argument(int layer)
    {
        RunFolder run = Tokenized();
        DiffractException e = Assert.Throws<DiffractException>(() => Harvest(run, Settings(layer)));
        Assert.Equal(DiffractException.BadArguments, e.ExitCode);
        Assert.Contains("the models have blocks 0 to 5", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_truncated_a_damaged_and_a_stale_store_are_refused_by_name()
    {
        RunFolder run = Tokenized();
        Harvest(run, Settings(0));
        string shard = Path.Combine(run.Activations(0), "shard_00001.safetensors");
        byte[] bytes = File.ReadAllBytes(shard);
        File.WriteAllBytes(shard, bytes[..^1]);
        Assert.Contains("activations/0/shard_00001.safetensors has", Assert.Throws<DiffractException>(() => ActivationStore.Open(run, 0)).Message, StringComparison.Ordinal);
        Assert.Contains("truncated or changed", Assert.Throws<DiffractException>(() => Harvest(run, Settings(0))).Message, StringComparison.Ordinal);
        bytes[^1] ^= 1;
        File.WriteAllBytes(shard, bytes);
        Assert.Contains("activations/0/shard_00001.safetensors does not match its checksum", Assert.Throws<DiffractException>(() => ActivationStore.Open(run, 0)).Message, StringComparison.Ordinal);
        Directory.Delete(run.Activations(0), recursive: true);

        Harvest(run, Settings(0));
        Directory.Delete(run.Tokens, recursive: true);
        HarvestRuns.Tokenize(run, Base, Chat, tokens: 1500, seed: 1);
        Assert.Contains("activations/0 is stale", Assert.Throws<DiffractException>(() => ActivationStore.Open(run, 0)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void The_plan_says_tokens_disk_memory_time_and_processor()
    {
        RunFolder run = Tokenized();
        Lines lines = new();
        Harvest(run, Settings(0), lines);
        string text = string.Join('\n', lines.Text);
        Assert.All((string[])["block 0 of 6", "tokens", "MiB on disk", "of memory", "tokens/s", "cpu path"], part => Assert.Contains(part, text, StringComparison.Ordinal));
    }

    [Fact]
    public void A_disk_that_is_too_small_is_refused_with_both_sizes()
    {
        HarvestNeeds needs = new(Bytes: 3L << 30, MissingBytes: 2L << 30, new ModelsInMemory(true, 1L << 30, ""), Buffers: 2);
        needs.Check("/run", 2L << 30);
        Assert.Contains("2,048 MiB more, /run has 2,047 MiB free", Assert.Throws<DiffractException>(() => needs.Check("/run", 2047L << 20)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void One_model_at_a_time_gives_the_bytes_of_both_at_once_also_after_a_stop_in_either_pass()
    {
        RunFolder whole = Tokenized("whole");
        Lines lines = new();
        Harvest(whole, Settings(1), lines);
        Assert.Contains(lines.Text, l => l.Contains("both models at once", StringComparison.Ordinal));
        HarvestNeeds needs = Needs(long.MaxValue);
        Assert.Equal((true, 2), (needs.Models.Together, needs.Buffers));
        MemoryBudget little = new(needs.Models.Bytes - 3_000_000);
        Assert.False(Needs(little.Bytes).Models.Together);

        // The first shard has less than 400 tokens, half of which are the base model's: stopped there, in its chat half, and in a later shard.
        foreach (int stopAt in (int[])[100, 250, 1000])
        {
            RunFolder run = Tokenized("alone" + stopAt);
            using CancellationTokenSource stop = new();
            Assert.ThrowsAny<OperationCanceledException>(() => Harvest(run, Settings(1) with { BatchTokens = 1 }, new StopAfter(stop, stopAt), stop: stop.Token, memory: little));
            Assert.Equal(stopAt > 400, File.Exists(Path.Combine(run.Activations(1), "shard_00000.safetensors")));
            lines.Text.Clear();
            Harvest(run, Settings(1), lines, memory: little);
            Assert.Contains(lines.Text, l => l.Contains("one model at a time", StringComparison.Ordinal) && l.Contains("both at once would take", StringComparison.Ordinal));
            Assert.Equal(StageManifest.TryLoad(whole.Activations(1))!.Outputs, StageManifest.TryLoad(run.Activations(1))!.Outputs);
        }
    }

    [Fact]
    public void Memory_goes_first_to_both_models_then_to_a_second_shard_and_less_than_one_model_is_refused()
    {
        HarvestNeeds all = Needs(long.MaxValue, rows: 400_000);
        long shard = 400_000L * 256 * 2;
        Assert.Equal((true, 2), Of(all.Models.Bytes));
        Assert.Equal((true, 1), Of(all.Models.Bytes - 1));
        Assert.Equal((true, 1), Of(all.Models.Bytes - shard));
        (bool together, int buffers) = Of(all.Models.Bytes - shard - 1);
        Assert.Equal((false, 1), (together, buffers));
        DiffractException refused = Assert.Throws<DiffractException>(() => Needs(100 << 20, rows: 400_000));
        Assert.Contains("with one model at a time, 100 MiB are free; choose an earlier --layer or a smaller model", refused.Message, StringComparison.Ordinal);

        (bool Together, int Buffers) Of(long bytes) => Needs(bytes, rows: 400_000) is var n ? (n.Models.Together, n.Buffers) : default;
    }

    static HarvestNeeds Needs(long memory, int rows = 400) => HarvestNeeds.Of([Base, Chat], 1, rows, 2000, 0, 4096, 512, StorageKind.BFloat16, new MemoryBudget(memory));

    static HarvestSettings Settings(int layer) => new() { Layer = layer, ShardTokens = 400 };

    RunFolder Tokenized(string name = "run", string? baseModel = null, string? chat = null)
    {
        RunFolder run = RunFolder.Create(Path.Combine(_folder.Path, name));
        HarvestRuns.Tokenize(run, baseModel ?? Base, chat ?? Chat, tokens: 2000, seed: 0);
        return run;
    }

    static void Harvest(RunFolder run, HarvestSettings settings, IProgressSink? progress = null, int threads = 2, MemoryBudget? memory = null, CancellationToken stop = default)
    {
        using IBackend backend = HarvestRuns.Backend(threads);
        HarvestStage.Run(new StageContext(run, backend, progress ?? new SilentProgress(), Stop: stop) { Memory = memory ?? new MemoryBudget(1L << 40) }, settings);
    }

    static Matrix All(ActivationStore store)
    {
        Matrix acts_BE = Matrix.Host((int)store.Rows, store.E);
        store.Read(0, (int)store.Rows, acts_BE);
        return acts_BE;
    }

    class Lines : IProgressSink
    {
        public List<string> Text { get; } = [];

        public void Line(string text) => Text.Add(text);

        public void Warn(string text) => Text.Add(text);

        public virtual void Report(string what, long done, long total, string unit, string? note = null)
        {
        }

        public void Done(string what, string summary) => Text.Add(summary);
    }

    sealed class StopAfter(CancellationTokenSource source, long tokens) : Lines
    {
        public override void Report(string what, long done, long total, string unit, string? note = null)
        {
            if (done >= tokens)
            {
                source.Cancel();
            }
        }
    }
}
