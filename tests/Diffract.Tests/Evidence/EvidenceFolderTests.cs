using Diffract.Evidence;
using Diffract.Runs;

namespace Diffract.Tests.Evidence;

public sealed class EvidenceFolderTests : IDisposable
{
    readonly string _root = Directory.CreateTempSubdirectory("diffract-evidence").FullName;

    public void Dispose() => Directory.Delete(_root, recursive: true);

    [Fact]
    public void What_is_saved_is_what_is_read()
    {
        RunFolder run = RunFolder.Create(_root);
        TokenExample example = new(4, "c-4", "chat", ["refusal/theft"], 2, ["<bos>", "No", "."], [0, 1.5f, float.NaN], [1, 8, 8], 1, 1.5);
        EvidenceFolder written = Folder() with
        {
            Examples = [new LatentExamples(7, [example], [[], [example]])],
            TemplateShares = [new TemplateShare(7, double.NaN, 0)],
            Interventions = new InterventionResults(
                3, 40, 5, 4,
                [new EditResult("none", "baseline", "all", new Estimate(3.5, 3, 4, 40), new Estimate(4, 3, 5, 40), null, null, 0, "too few")],
                new Dictionary<string, int[]> { ["best_norm"] = [1, 2] }, ["a note"],
                [new PairedDifference("replace_best_norm", "replace_worst_norm", "all", "kl", new Estimate(-1, -2, 0, 40))]),
            Behaviours = new BehaviourResults(
                10, [new BehaviourRow("refusal", 7, new Estimate(0.9, 0.8, 0.95, 5), 0.95, 0.5, 0.6, 3, 2, 3, null, "contrast", 10, true, 0.97)],
                new Dictionary<int, IReadOnlyList<string>> { [7] = ["refusal"] }, [7, 8], true, []),
        };
        string folder = run.Evidence("l1");
        StageManifest manifest = new() { Stage = "evidence", Settings = [], Outputs = written.Save(folder) };
        manifest.Save(folder);

        EvidenceFolder read = EvidenceFolder.Open(run, "l1");

        Assert.Equivalent(written.Examples, read.Examples);
        Assert.Equivalent(written.TemplateShares, read.TemplateShares);
        Assert.Equivalent(written.Interventions, read.Interventions);
        Assert.Equivalent(written.Behaviours, read.Behaviours);
        Assert.Equal([1, 2], read.Interventions!.LatentSets["best_norm"]);
        Assert.Equal("refusal", read.Behaviours!.LabelsByLatent[7][0]);
    }

    [Fact]
    public void A_run_without_chats_has_neither_interventions_nor_behaviours()
    {
        RunFolder run = RunFolder.Create(_root);
        string folder = run.Evidence("l1");
        new StageManifest { Stage = "evidence", Settings = [], Outputs = Folder().Save(folder) }.Save(folder);

        EvidenceFolder read = EvidenceFolder.Open(run, "l1");

        Assert.Null(read.Interventions);
        Assert.Null(read.Behaviours);
    }

    [Fact]
    public void Missing_evidence_names_the_command()
    {
        RunFolder run = RunFolder.Create(_root);
        DiffractException e = Assert.Throws<DiffractException>(() => EvidenceFolder.Open(run, "l1"));
        Assert.Contains("diffract evidence", e.Message, StringComparison.Ordinal);
    }

    static EvidenceFolder Folder() => new() { Manifest = new StageManifest { Stage = "evidence", Settings = [] }, Examples = [], TemplateShares = [] };
}
