using Diffract.Activations;
using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Runs;

namespace Diffract.Tests.Activations;

/// <summary>One small harvest in each kind of storage.</summary>
public sealed class StorageTests(StorageTests.Runs runs) : IClassFixture<StorageTests.Runs>
{
    [Fact]
    public void Eight_bits_are_the_nearest_codes_of_each_token_and_model_under_their_scale()
    {
        (Matrix exact_BE, Matrix codes_BE) = (runs.All(StorageKind.Float32), runs.All(StorageKind.Int8));
        Assert.True(exact_BE.Rows > 1000);
        for (int r = 0; r < exact_BE.Rows; r++)
        {
            for (int m = 0; m < 2; m++)
            {
                Span<float> exact = exact_BE.Row(r).Slice(m * 128, 128), stored = codes_BE.Row(r).Slice(m * 128, 128);
                float max = 0;
                foreach (float v in exact)
                {
                    max = MathF.Max(max, MathF.Abs(v));
                }

                float scale = max / 127;
                for (int i = 0; i < exact.Length; i++)
                {
                    Assert.Equal(MathF.Round(exact[i] / scale) * scale, stored[i]);
                }
            }
        }
    }

    [Theory]
    [InlineData(StorageKind.BFloat16)]
    [InlineData(StorageKind.Int8)]
    [InlineData(StorageKind.Float32)]
    public void The_manifest_says_what_share_of_each_model_s_variance_the_stored_rows_keep(StorageKind storage)
    {
        (Matrix exact_BE, Matrix stored_BE) = (runs.All(StorageKind.Float32), runs.All(storage));
        double[] said = [.. StageManifest.TryLoad(runs.Of(storage).Activations(0))!.Facts["varianceKept"]!.AsArray().Select(k => (double)k!)];
        for (int m = 0; m < 2; m++)
        {
            double lost = 0, squares = 0;
            for (int e = m * 128; e < (m + 1) * 128; e++)
            {
                double mean = Enumerable.Range(0, exact_BE.Rows).Average(r => (double)exact_BE.Row(r)[e]);
                for (int r = 0; r < exact_BE.Rows; r++)
                {
                    double x = exact_BE.Row(r)[e], off = x - stored_BE.Row(r)[e];
                    lost += off * off;
                    squares += (x - mean) * (x - mean);
                }
            }

            Assert.Equal(1 - lost / squares, said[m], 1e-12);
            Assert.Equal(storage == StorageKind.Float32, said[m] == 1);
        }

        string line = Assert.Single(runs.Said[storage], l => l.Contains("keep", StringComparison.Ordinal));
        Assert.Contains($"stored as {storage.Name()}", line, StringComparison.Ordinal);
        Assert.Contains(FormattableString.Invariant($"{100 * said[1]:F5}% of the chat model's variance"), line, StringComparison.Ordinal);
    }

    [Fact]
    public void Statistics_do_not_depend_on_the_storage_and_fewer_bits_take_less_disk()
    {
        using ActivationStore codes = ActivationStore.Open(runs.Of(StorageKind.Int8), 0), exact = ActivationStore.Open(runs.Of(StorageKind.Float32), 0);
        Assert.Equal(exact.Statistics().Mean_E, codes.Statistics().Mean_E);
        Assert.Equal(exact.Statistics().Variance_E, codes.Statistics().Variance_E);
        long[] bytes = [.. Runs.Kinds.Select(k => Directory.GetFiles(runs.Of(k).Activations(0), "shard_*").Sum(f => new FileInfo(f).Length))];
        Assert.True(bytes[2] < bytes[0] && bytes[0] < bytes[1]);
        Assert.Equal((512, 1024, 264), (StorageKind.BFloat16.RowBytes([128, 128]), StorageKind.Float32.RowBytes([128, 128]), StorageKind.Int8.RowBytes([128, 128])));
    }

    [Fact]
    public void Reading_eight_bits_allocates_nothing_and_gathers_any_order()
    {
        using ActivationStore store = ActivationStore.Open(runs.Of(StorageKind.Int8), 0);
        Matrix all_BE = runs.All(StorageKind.Int8), some_BE = Matrix.Host(3, store.E);
        long[] rows = [store.Rows - 1, 0, store.Rows / 2];
        store.Gather(rows, some_BE);
        long before = GC.GetAllocatedBytesForCurrentThread();
        store.Gather(rows, some_BE);
        store.Read(1, 3, some_BE);
        store.Gather(rows, some_BE);
        Assert.Equal(before, GC.GetAllocatedBytesForCurrentThread());
        for (int i = 0; i < rows.Length; i++)
        {
            Assert.True(all_BE.Row((int)rows[i]).SequenceEqual(some_BE.Row(i)));
        }
    }

    [Fact]
    public void The_bytes_do_not_depend_on_threads_or_on_a_stop()
    {
        RunFolder run = RunFolder.Create(Path.Combine(runs.Folder, "again"));
        HarvestRuns.Tokenize(run, Runs.Base, Runs.Chat, tokens: 2000, seed: 0);
        Runs.Harvest(run, StorageKind.Int8, threads: 1);
        string shard = Path.Combine(run.Activations(0), "shard_00001.safetensors"), manifest = Path.Combine(run.Activations(0), StageManifest.FileName);
        StageManifest whole = StageManifest.TryLoad(runs.Of(StorageKind.Int8).Activations(0))!, alone = StageManifest.TryLoad(run.Activations(0))!;
        Assert.Equal(whole.Outputs, alone.Outputs);
        File.Delete(shard);
        File.Delete(manifest);
        Runs.Harvest(run, StorageKind.Int8);
        StageManifest again = StageManifest.TryLoad(run.Activations(0))!;
        Assert.Equal(whole.Outputs, again.Outputs);
        Assert.Equal(whole.Facts["varianceKept"]!.ToJsonString(), again.Facts["varianceKept"]!.ToJsonString());
        Assert.Contains("was made with other settings", Assert.Throws<DiffractException>(() => Runs.Harvest(run, StorageKind.BFloat16)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Names_are_read_back_and_others_are_refused()
    {
        Assert.All(Runs.Kinds, k => Assert.Equal(k, StorageKinds.Parse(k.Name())));
        DiffractException refused = Assert.Throws<DiffractException>(() => StorageKinds.Parse("int4"));
        Assert.Equal(("--storage int4 is unknown; wanted bf16, f32 or int8", DiffractException.BadArguments), (refused.Message, refused.ExitCode));
    }

    public sealed class Runs : IDisposable
    {
        public static readonly StorageKind[] Kinds = [StorageKind.BFloat16, StorageKind.Float32, StorageKind.Int8];
        public static readonly string Base = Path.Combine(GoldenFiles.Assets, "base"), Chat = Path.Combine(GoldenFiles.Assets, "chat");
        readonly TemporaryFolder _folder = new();

        public Runs()
        {
            foreach (StorageKind kind in Kinds)
            {
                RunFolder run = RunFolder.Create(Path.Combine(Folder, kind.Name()));
                HarvestRuns.Tokenize(run, Base, Chat, tokens: 2000, seed: 0);
                ListProgress progress = new();
                Harvest(run, kind, progress);
                Said[kind] = progress.Lines;
            }
        }

        public string Folder => _folder.Path;

        public Dictionary<StorageKind, List<string>> Said { get; } = [];

        public RunFolder Of(StorageKind kind) => RunFolder.Open(Path.Combine(Folder, kind.Name()));

        public Matrix All(StorageKind kind)
        {
            using ActivationStore store = ActivationStore.Open(Of(kind), 0);
            Matrix acts_BE = Matrix.Host((int)store.Rows, store.E);
            store.Read(0, (int)store.Rows, acts_BE);
            return acts_BE;
        }

        public static void Harvest(RunFolder run, StorageKind kind, IProgressSink? progress = null, int threads = 2)
        {
            using IBackend backend = HarvestRuns.Backend(threads);
            HarvestStage.Run(
                new StageContext(run, backend, progress ?? new SilentProgress()) { Memory = new MemoryBudget(1L << 40) }, new HarvestSettings { Layer = 0, ShardTokens = 400, Storage = kind });
        }

        public void Dispose() => _folder.Dispose();
    }
}
