using Diffract.Compute.Kernels;
using Diffract.Evidence;
using Diffract.Runs;

namespace Diffract.Tests.Evidence;

/// <summary>Several tasks measure the interventions of one crosscoder.</summary>
public sealed class EvidenceTasksTests : IClassFixture<EvidenceTasksTests.Whole>, IDisposable
{
    static readonly string[] Files = ["behaviours.json", "examples.json", "interventions.json", "template.json"];
    readonly Whole _whole;

    public EvidenceTasksTests(Whole whole)
    {
        _whole = whole;
        if (Directory.Exists(Folder))
        {
            Directory.Delete(Folder, recursive: true);
        }
    }

    static EvidenceSettings Settings => new() { Name = EvidenceRun.Name, Conversations = 8, UnitConversations = 2, Resamples = 100, Shuffles = 10 };

    string Folder => _whole.Run.Run.Evidence(EvidenceRun.Name);

    string Units => Path.Combine(Folder, "units");

    public void Dispose() => UnitFolder.Watch.Value = null;

    [Theory]
    [InlineData(PublishStep.Made)]
    [InlineData(PublishStep.Placed)]
    [InlineData(PublishStep.Published)]
    public void Tasks_of_which_one_dies_make_the_bytes_of_one_process(PublishStep at)
    {
        Task(2, 3);
        UnitFolder.Watch.Value = (step, unit) => _ = (step, unit) == (at, 0) ? throw new IOException("killed") : 0;
        Assert.Throws<IOException>(() => Task(0, 3));
        UnitFolder.Watch.Value = null;
        ListProgress progress = new();
        Task(1, 3, progress);
        Assert.Contains(progress.Lines, l => l.Contains("task 1 of 3 makes 1 of 4 units, 2 of 8 chats (2 are left)", StringComparison.Ordinal));
        Assert.Contains(progress.Lines, l => l.Contains("task 1 of 3 is done", StringComparison.Ordinal) && l.Contains("which task 0 of 3 makes", StringComparison.Ordinal));
        DiffractException e = Assert.Throws<DiffractException>(() => EvidenceFolder.Open(_whole.Run.Run, EvidenceRun.Name));
        Assert.Contains(at == PublishStep.Published ? "1 of 4 units is missing (3)" : "2 of 4 units are missing (0, 3)", e.Message, StringComparison.Ordinal);
        Assert.Contains($"--name {EvidenceRun.Name} --task 0 --of 3`", e.Message, StringComparison.Ordinal);
        Task(0, 3);
        SameAsWhole();
    }

    [Fact]
    public void A_damaged_and_a_missing_unit_are_refused_by_name_and_measured_again()
    {
        Task(0, 2);
        string damaged = Path.Combine(Units, "chats_00000_by_2.jsonl"), gone = Path.Combine(Units, "chats_00002_by_2.jsonl");
        File.WriteAllText(damaged, File.ReadAllText(damaged).Replace('1', '2'));
        File.Delete(gone);
        string message = Assert.Throws<DiffractException>(() => Task(1, 2)).Message;
        Assert.Contains("evidence/golden/units/chats_00000_by_2.jsonl does not match the checksum that it was published with", message, StringComparison.Ordinal);
        Assert.Contains("evidence/golden/units/chats_00002_by_2.jsonl is gone though its manifest tells of it", message, StringComparison.Ordinal);
        Task(0, 2);
        SameAsWhole();
    }

    [Fact]
    public void Units_of_another_size_and_other_settings_are_refused_by_what_differs()
    {
        Task(0, 2);
        Assert.Contains("give every task the same options", Assert.Throws<DiffractException>(() => Run(Settings with { UnitConversations = 3, Share = new TaskShare(1, 2) })).Message, StringComparison.Ordinal);
        Assert.Contains("seed was 42, now 7", Assert.Throws<DiffractException>(() => Run(Settings with { Seed = 7, Share = new TaskShare(1, 2) })).Message, StringComparison.Ordinal);
        Task(1, 2);
        SameAsWhole();
    }

    void Task(int task, int of, IProgressSink? progress = null) => Run(Settings with { Share = new TaskShare(task, of) }, progress);

    void Run(EvidenceSettings settings, IProgressSink? progress = null) => EvidenceStage.Run(_whole.Run.Context(progress), settings);

    void SameAsWhole()
    {
        Assert.All(Files.Index(), f => Assert.Equal(_whole.Bytes[f.Index], File.ReadAllBytes(Path.Combine(Folder, f.Item))));
        Assert.Equal(["behaviours.json", "examples.json", "interventions.json", "manifest.json", "template.json"], Directory.GetFileSystemEntries(Folder).Select(Path.GetFileName).Order(StringComparer.Ordinal));
        Assert.Equal(_whole.Print, StageManifest.TryLoad(Folder)!.Fingerprint());
    }

    /// <summary>A run, and what one process made of it.</summary>
    public sealed class Whole : IDisposable
    {
        readonly IBackend _backend = EvidenceBackend.Create();

        public Whole()
        {
            Run = new EvidenceRun(_backend, texts: 30);
            EvidenceStage.Run(Run.Context(), Settings);
            string folder = Run.Run.Evidence(EvidenceRun.Name);
            Bytes = [.. Files.Select(f => File.ReadAllBytes(Path.Combine(folder, f)))];
            Print = StageManifest.TryLoad(folder)!.Fingerprint();
        }

        internal EvidenceRun Run { get; }

        public byte[][] Bytes { get; }

        public string Print { get; }

        public void Dispose()
        {
            Run.Dispose();
            _backend.Dispose();
        }
    }
}
