using Diffract.Activations;
using Diffract.Compute.Kernels;
using Diffract.Runs;

namespace Diffract.Tests.Activations;

/// <summary>Several tasks make one store; what can come between them is made to happen at the step where it hurts.</summary>
public sealed class HarvestTasksTests : IClassFixture<HarvestTasksTests.Whole>, IDisposable
{
    readonly Whole _whole;
    readonly TemporaryFolder _folder = new();
    readonly RunFolder _run;

    public HarvestTasksTests(Whole whole)
    {
        _whole = whole;
        _run = RunFolder.Create(Path.Combine(_folder.Path, "run"));
        CopyFolder(whole.Run.Tokens, _run.Tokens);
    }

    string Store => _run.Activations(Whole.Layer);

    string Units => Path.Combine(Store, "units");

    public void Dispose()
    {
        UnitFolder.Watch.Value = null;
        AtomicFile.Through.Value = null;
        _folder.Dispose();
    }

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    [InlineData(11)]
    public void Any_number_of_tasks_in_any_order_makes_the_bytes_of_one_process(int of)
    {
        int[] order = [.. Enumerable.Range(0, of)];
        new Random(of).Shuffle(order);
        foreach (int task in order)
        {
            Task(task, of);
            Task(task, of);
        }

        SameAsWhole();
        Assert.False(Directory.Exists(Units));
        Assert.False(File.Exists(Path.Combine(Store, "plan.json")));
    }

    [Theory]
    [InlineData(PublishStep.Made)]
    [InlineData(PublishStep.Placed)]
    [InlineData(PublishStep.Published)]
    public void A_task_that_dies_at_any_step_of_publishing_goes_on_to_the_same_bytes(PublishStep step)
    {
        Task(0, 2);
        Assert.Throws<IOException>(() => TaskThatDies(1, 2, step, unit: 3));
        string[] named = Shards();
        DateTime[] before = [.. named.Select(File.GetLastWriteTimeUtc)];
        Assert.Contains("units", Assert.Throws<DiffractException>(() => ActivationStore.Open(_run, Whole.Layer)).Message, StringComparison.Ordinal);
        Task(1, 2);
        SameAsWhole();

        // What had its name before keeps it: nothing is written twice.
        Assert.True(named.Length >= 4);
        Assert.Equal(before, named.Select(File.GetLastWriteTimeUtc));
    }

    [Fact]
    public void A_unit_published_twice_stays_as_the_first_one_wrote_it()
    {
        ListProgress progress = new();
        DateTime written = default;
        UnitFolder.Watch.Value = (step, unit) =>
        {
            if ((step, unit) == (PublishStep.Made, 2))
            {
                // The same task, submitted twice, comes first.
                Apart(() => Task(2, 5));
                written = File.GetLastWriteTimeUtc(Shard(2));
            }
        };
        Task(2, 5, progress);
        UnitFolder.Watch.Value = null;
        Assert.NotEqual(default, written);
        Assert.Equal(written, File.GetLastWriteTimeUtc(Shard(2)));
        Assert.Empty(progress.Warnings);
        Plain();
        SameAsWhole();
    }

    [Fact]
    public void A_unit_published_with_other_bytes_is_kept_and_said()
    {
        ListProgress progress = new();
        byte[] other = [];
        UnitFolder.Watch.Value = (step, unit) =>
        {
            if ((step, unit) == (PublishStep.Made, 1))
            {
                // As a processor of another kind rounds it.
                other = File.ReadAllBytes(Path.Combine(_whole.Run.Activations(Whole.Layer), "shard_00001.safetensors"));
                other[other.Length / 2] ^= 1;
                File.WriteAllBytes(Shard(1), other);
            }
        };
        Task(1, 5, progress);
        UnitFolder.Watch.Value = null;
        Assert.Contains(progress.Warnings, w => w.StartsWith("activations/1/shard_00001.safetensors was published by another process with other bytes, which are kept", StringComparison.Ordinal));
        Plain();
        Assert.Equal(other, File.ReadAllBytes(Shard(1)));
        using ActivationStore store = ActivationStore.Open(_run, Whole.Layer);
        Assert.Equal(_whole.Rows, store.Rows);
    }

    [Fact]
    public void An_unfinished_store_says_what_is_missing_and_who_makes_it()
    {
        Task(0, 3);
        ListProgress progress = new();
        Task(2, 3, progress);
        Assert.Contains(progress.Lines, l => l.Contains($"task 2 of 3 makes 2 of {_whole.Shards} units (2, 5)", StringComparison.Ordinal));
        Assert.Contains(progress.Lines, l => l.Contains("task 2 of 3 is done", StringComparison.Ordinal) && l.Contains("which task 1 of 3 makes", StringComparison.Ordinal));
        string message = Assert.Throws<DiffractException>(() => ActivationStore.Open(_run, Whole.Layer)).Message;
        int missing = Enumerable.Range(0, _whole.Shards).Count(u => u % 3 == 1);
        Assert.Contains($"activations/1 is unfinished in {_run.Root}: {missing} of {_whole.Shards} units are missing (1, 4", message, StringComparison.Ordinal);
        Assert.Contains($"run `diffract harvest {_run.Root} --layer 1 --task 1 --of 3` and so on, or `diffract harvest {_run.Root} --layer 1` for all of them", message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_manifest_that_names_a_missing_shard_is_refused_by_name_and_the_shard_made_again()
    {
        Task(0, 3);
        Task(1, 3);
        File.Delete(Shard(4));
        string message = Assert.Throws<DiffractException>(() => Task(2, 3)).Message;
        Assert.Contains("activations/1/shard_00004.safetensors is gone though its manifest tells of it", message, StringComparison.Ordinal);
        Assert.Contains("which task 1 of 3 makes", message, StringComparison.Ordinal);
        Task(1, 3);
        SameAsWhole();
    }

    [Fact]
    public void A_damaged_published_shard_is_refused_by_name_and_made_again()
    {
        Task(0, 3);
        Task(1, 3);
        Flip(Shard(3));
        Assert.Contains("activations/1/shard_00003.safetensors does not match the checksum that it was published with", Assert.Throws<DiffractException>(() => Task(2, 3)).Message, StringComparison.Ordinal);
        Assert.Contains("1 of", Assert.Throws<DiffractException>(() => ActivationStore.Open(_run, Whole.Layer)).Message, StringComparison.Ordinal);
        Task(0, 3);
        SameAsWhole();
    }

    [Fact]
    public void One_process_makes_what_it_finds_damaged_again_at_once()
    {
        Task(0, 2);
        Flip(Shard(2));
        File.WriteAllText(Path.Combine(Units, "00000.json"), "{\"unit\": 0, ");
        ListProgress progress = new();
        Plain(progress);
        Assert.Contains(progress.Warnings, w => w.Contains("00000.json is not the manifest of a unit", StringComparison.Ordinal));
        Assert.Contains(progress.Warnings, w => w.Contains("shard_00002.safetensors does not match the checksum", StringComparison.Ordinal) && w.EndsWith("made again", StringComparison.Ordinal));
        SameAsWhole();
    }

    [Fact]
    public void A_full_disk_publishes_nothing_of_the_unit_and_leaves_nothing_behind()
    {
        Task(0, 2);
        AtomicFile.Through.Value = stream => new FullDisk(stream, 20_000);
        string message = Assert.Throws<DiffractException>(() => Task(1, 2)).Message;
        AtomicFile.Through.Value = null;
        Assert.Contains("No space left on device; free some space", message, StringComparison.Ordinal);
        Assert.Equal(Enumerable.Range(0, _whole.Shards).Where(u => u % 2 == 0).Select(Shard), Shards());
        Assert.Empty(Directory.GetDirectories(Units));
        Task(1, 2);
        SameAsWhole();
    }

    [Fact]
    public void Two_that_close_at_once_write_one_manifest()
    {
        Assert.Throws<IOException>(() => TaskThatDies(0, 1, PublishStep.Published, unit: _whole.Shards - 1));
        Assert.Contains("all", Assert.Throws<DiffractException>(() => ActivationStore.Open(_run, Whole.Layer)).Message, StringComparison.Ordinal);
        ListProgress[] progress = [new(), new(), new()];
        Parallel.ForEach(progress, p => Plain(p));
        Assert.Single(progress.SelectMany(p => p.Lines), l => l.StartsWith($"harvest: {_whole.Rows:N0} tokens of 2 models", StringComparison.Ordinal));
        SameAsWhole();
    }

    [Fact]
    public void Other_settings_than_the_tasks_before_are_refused_by_what_differs()
    {
        Task(0, 2);
        Assert.Contains("shardTokens was 300, now 301", Assert.Throws<DiffractException>(() => Run(new HarvestSettings { Layer = 1, ShardTokens = 301, Share = new TaskShare(1, 2) })).Message, StringComparison.Ordinal);
        DiffractException fresh = Assert.Throws<DiffractException>(() => Run(Whole.Settings with { Share = new TaskShare(1, 2) }, fresh: true));
        Assert.Equal(DiffractException.BadArguments, fresh.ExitCode);
        Assert.Contains("--fresh with --task 1 --of 2 would throw away what the other tasks have published", fresh.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void What_killed_tasks_left_behind_is_removed_after_a_while_and_never_counted()
    {
        Task(0, 2);
        string old = Left("making-node-1-0"), young = Left("making-node-2-0");
        DateTime then = DateTime.UtcNow - UnitFolder.Grace - TimeSpan.FromMinutes(1);
        File.SetLastWriteTimeUtc(Path.Combine(old, "shard_00001.safetensors"), then);
        Directory.SetLastWriteTimeUtc(old, then);
        Task(1, 2);
        SameAsWhole();
        Assert.Equal([young], Directory.GetFileSystemEntries(Units));

        File.SetLastWriteTimeUtc(Path.Combine(young, "shard_00001.safetensors"), then);
        Directory.SetLastWriteTimeUtc(young, then);
        Plain();
        Assert.False(Directory.Exists(Units));
        SameAsWhole();

        string Left(string name)
        {
            string folder = Directory.CreateDirectory(Path.Combine(Units, name)).FullName;
            File.WriteAllText(Path.Combine(folder, "shard_00001.safetensors"), "half");
            return folder;
        }
    }

    [Theory]
    [InlineData(0, null, "--task 0 stands without --of")]
    [InlineData(null, 4, "--of 4 stands without --task")]
    [InlineData(4, 4, "--task 4 is out of range; wanted 0 to 3")]
    [InlineData(-1, 4, "--task -1 is out of range")]
    [InlineData(0, 0, "--of 0 is too small")]
    public void Half_a_share_and_a_task_out_of_range_are_bad_arguments(int? task, int? of, string message)
    {
        DiffractException e = Assert.Throws<DiffractException>(() => TaskShare.Parse(task, of));
        Assert.Equal(DiffractException.BadArguments, e.ExitCode);
        Assert.StartsWith(message, e.Message, StringComparison.Ordinal);
    }

    string Shard(int unit) => Path.Combine(Store, $"shard_{unit:D5}.safetensors");

    string[] Shards() => [.. Directory.GetFiles(Store, "shard_*").Order(StringComparer.Ordinal)];

    void Task(int task, int of, IProgressSink? progress = null) => Run(Whole.Settings with { Share = new TaskShare(task, of) }, progress);

    void Plain(IProgressSink? progress = null) => Run(Whole.Settings, progress);

    void Run(HarvestSettings settings, IProgressSink? progress = null, bool fresh = false) => Whole.Harvest(_run, settings, progress, fresh);

    void TaskThatDies(int task, int of, PublishStep at, int unit)
    {
        UnitFolder.Watch.Value = (step, which) =>
        {
            if ((step, which) == (at, unit))
            {
                throw new IOException("killed");
            }
        };
        try
        {
            Task(task, of);
        }
        finally
        {
            UnitFolder.Watch.Value = null;
        }
    }

    /// <summary>On a flow of control that nobody watches.</summary>
    static void Apart(Action work)
    {
        using AsyncFlowControl flow = ExecutionContext.SuppressFlow();
        System.Threading.Tasks.Task.Run(work).GetAwaiter().GetResult();
    }

    static void Flip(string path)
    {
        byte[] bytes = File.ReadAllBytes(path);
        bytes[bytes.Length / 2] ^= 1;
        File.WriteAllBytes(path, bytes);
    }

    void SameAsWhole()
    {
        string whole = _whole.Run.Activations(Whole.Layer);
        string[] expected = [.. Directory.GetFiles(whole, "s*.safetensors").Select(f => Path.GetFileName(f)!).Order(StringComparer.Ordinal)];
        Assert.Equal(expected, Directory.GetFiles(Store, "s*.safetensors").Select(Path.GetFileName).Order(StringComparer.Ordinal));
        Assert.All(expected, f => Assert.Equal(File.ReadAllBytes(Path.Combine(whole, f)), File.ReadAllBytes(Path.Combine(Store, f))));
        Assert.Equal(StageManifest.TryLoad(whole)!.Fingerprint(), StageManifest.TryLoad(Store)!.Fingerprint());
    }

    static void CopyFolder(string from, string to)
    {
        Directory.CreateDirectory(to);
        foreach (string file in Directory.GetFiles(from))
        {
            File.Copy(file, Path.Combine(to, Path.GetFileName(file)));
        }
    }

    /// <summary>A store that one process made.</summary>
    public sealed class Whole : IDisposable
    {
        public const int Layer = 1;
        readonly TemporaryFolder _folder = new();

        public Whole()
        {
            Run = RunFolder.Create(Path.Combine(_folder.Path, "whole"));
            HarvestRuns.Tokenize(Run, Pairs.Base, Pairs.Chat, tokens: 1800, seed: 0);
            Harvest(Run, Settings, null, fresh: false);
            using ActivationStore store = ActivationStore.Open(Run, Layer);
            (Rows, Shards) = (store.Rows, Directory.GetFiles(Run.Activations(Layer), "shard_*").Length);
        }

        public RunFolder Run { get; }

        public long Rows { get; }

        public int Shards { get; }

        public static HarvestSettings Settings => new() { Layer = Layer, ShardTokens = 300 };

        public void Dispose() => _folder.Dispose();

        public static void Harvest(RunFolder run, HarvestSettings settings, IProgressSink? progress, bool fresh)
        {
            using IBackend backend = HarvestRuns.Backend(1);
            HarvestStage.Run(new StageContext(run, backend, progress ?? new SilentProgress(), fresh) { Memory = new MemoryBudget(1L << 40) }, settings);
        }
    }
}
