using System.Text.Json;
using System.Text.Json.Nodes;
using Diffract.Reports;
using Diffract.Runs;
using Diffract.Tokens;

namespace Diffract.Tests.Reports;

public sealed class ReportStageTests
{
    [Fact]
    public void A_whole_run_becomes_a_report_whose_numbers_are_those_of_its_stages()
    {
        using SmallRun small = new();
        foreach ((string name, string kind) in new[] { ("batchtopk", "batchtopk"), ("l1", "l1") })
        {
            small.Crosscoder(name, kind);
            small.Table(name);
            small.Scaled(name);
            small.Examined(name, chats: true);
        }

        RunReport report = RunReport.Build(small.Run);
        Assert.Equal(["batchtopk", "l1"], report.Crosscoders.Select(c => c.Name));
        Assert.Equal(["BatchTopK", "L1"], report.Crosscoders.Select(c => c.Settings.Kind));
        Assert.Equal(("base", "chat", 0, 6), (report.Answer.Base, report.Answer.Chat, report.Answer.Layer, report.Answer.Blocks));
        Assert.Equal("2 of 12 latents that look chat-only by decoder norm survive Latent Scaling (BatchTopK: 1 of 6, L1: 1 of 6).", report.Answer.Headline);

        ReportCrosscoder c = report.Crosscoders[0];
        Assert.Empty(c.Missing);
        Assert.Equal(new VerdictCounts(1, 0, 0, 4, 1), c.Scaling!.Verdicts);
        Assert.Equal(new ClassCounts(6, 2, 52, 0), c.Norms!.All);
        Assert.Equal(59, c.Norms.Alive.Total);
        Assert.Equal((8, 1000L, 64, 4.0), (c.Settings.K, c.Settings.Steps, c.Settings.Batch, c.Settings.Threshold));
        Assert.Equal([0.7, 0.8], c.Settings.FveByModel);
        Assert.True(double.IsNaN(report.Crosscoders[1].Settings.Threshold));

        // Most interesting first: the survivor, other chat-only latents by norm, then distance from 0.5; dead last.
        Assert.Equal([3, 5, 4, 2, 1, 0, 6, 7, 58], c.Latents.Take(9).Select(l => l.Latent));
        Assert.Equal(59, c.Latents[^1].Latent);
        Assert.Equal(0.75, c.Latents[0].TemplateShare);
        Assert.Equal(["refusal"], c.Latents[0].Labels);

        Assert.Equal([3, 5], c.Cards.Select(k => k.Latent.Latent));
        Assert.Equal(["50% to 75% of its maximum", "0% to 25% of its maximum"], c.Cards[0].Lower.Select(l => l.Range));
        Diffract.Evidence.TokenExample window = c.Cards[0].Top[0];
        Assert.Equal((ReportCard.Window, "▁t150"), (window.Tokens.Length, window.Tokens[window.Peak]));
        Assert.Equal(9f, window.Activations[window.Peak]);

        ReportSeries loss = c.Training!.Single(s => s.Name == "loss"), threshold = c.Training!.Single(s => s.Name == "threshold");
        Assert.Equal((300, 0L, 999L, 50.0), (loss.Steps.Count, loss.Steps[0], loss.Steps[^1], loss.Values[0]));
        Assert.Equal(500, threshold.Steps[0]);
        Assert.Equal([0.75], c.Training!.Single(s => s.Name == "variance explained").Values);

        Assert.Equal(report.Answer.Tokens, report.Comparison.Texts.Sum(t => t.Tokens));
        using (TokenStore tokens = TokenStore.Open(small.Run))
        {
            Assert.Equal(tokens.Documents.Count, report.Comparison.Texts.Sum(t => t.Documents));
            Assert.Equal(tokens.Documents.Count, report.Comparison.Roles.Single(r => r.Role == "BOS").Tokens);
        }

        Assert.All(report.Comparison.Models, m => Assert.InRange(m.Norm, 1, 1000));
        Assert.Equal([0.4, 0.5], report.Comparison.Models.Select(m => m.Gamma));
        Assert.Equal([128, 128], report.Comparison.Checkpoints.Select(m => m.Width));
        Assert.Contains(report.Trust.Commands, l => l.Contains("--layer 0 --name l1 --kind l1 --latents 60 --mu 0.1 --steps 1000", StringComparison.Ordinal));
        Assert.Contains(report.Trust.Commands, l => l.StartsWith("diffract scale ", StringComparison.Ordinal));
        Assert.Equal(10, report.Trust.Stages.Count);
    }

    [Fact]
    public void The_stage_writes_page_json_and_tables_and_replaces_an_earlier_report()
    {
        using SmallRun small = new();
        foreach (string name in new[] { "batchtopk", "l1" })
        {
            small.Crosscoder(name, name);
        }

        string own = Path.Combine(Directory.CreateDirectory(small.Run.Report).FullName, "notes.txt");
        File.WriteAllText(own, "mine");
        ReportOutcome both = ReportStage.Run(small.Context(), ReportSettings.Everything);
        Assert.Equal(Path.Combine(small.Run.Report, "index.html"), both.Path);
        Assert.Equal(2, both.Table.Rows.Count);
        Assert.True(File.Exists(Path.Combine(small.Run.Report, "latents_l1.csv")));
        ReportOutcome one = ReportStage.Run(small.Context(), new ReportSettings(["batchtopk"]));
        Assert.Single(one.Table.Rows);
        Assert.False(File.Exists(Path.Combine(small.Run.Report, "latents_l1.csv")));
        Assert.True(File.Exists(own));

        StageManifest manifest = Provenance.Require(small.Run, small.Run.Report, "diffract report", thorough: true);
        Assert.Equal(["activations/0", "crosscoders/batchtopk", "tokens"], manifest.Inputs.Keys.Order(StringComparer.Ordinal));
        JsonElement root = JsonDocument.Parse(File.ReadAllText(Path.Combine(small.Run.Report, "report.json"))).RootElement;
        Assert.Equal("Not decided: Latent Scaling has not been run on any crosscoder here.", root.GetProperty("answer").GetProperty("headline").GetString());
        Assert.Contains(root.GetProperty("trust").GetProperty("skipped").EnumerateArray(), s => s.GetString()!.Contains("because the latents stage has not run here (diffract latents … --name batchtopk)", StringComparison.Ordinal));
    }

    [Fact]
    public void Text_alone_and_a_crosscoder_brought_along_are_said()
    {
        using SmallRun small = new(chats: false);
        small.Crosscoder("mine", "l1", trained: false);
        small.Table("mine");
        small.Scaled("mine");
        small.Examined("mine", chats: false);
        RunReport report = RunReport.Build(small.Run);
        ReportCrosscoder c = Assert.Single(report.Crosscoders);
        Assert.True(c.Settings.Loaded);
        Assert.Null(c.Effects);
        Assert.Null(c.Behaviours);
        Assert.Null(c.Training);
        Assert.Equal("the run has no held-out chats", c.Missing["effects"]);
        Assert.Equal("the run has no held-out chats", c.Missing["behaviours"]);
        Assert.Equal("it was brought along, not trained here", c.Missing["training"]);
        Assert.Contains("Without chats, nothing can be said about answers.", Assert.Single(report.Says.Compared), StringComparison.Ordinal);
        Assert.Contains(report.Trust.Skipped, s => s.StartsWith("No chats were given", StringComparison.Ordinal));
        Assert.DoesNotContain(report.Trust.Commands, l => l.StartsWith("diffract train ", StringComparison.Ordinal));
    }

    [Fact]
    public void What_does_not_fit_is_refused_in_one_line()
    {
        using SmallRun small = new();
        Assert.Contains("run `diffract train", Assert.Throws<DiffractException>(() => RunReport.Build(small.Run)).Message, StringComparison.Ordinal);
        small.Crosscoder("l1", "l1");
        small.Crosscoder("deep", "l1", layer: 3);
        DiffractException unknown = Assert.Throws<DiffractException>(() => RunReport.Build(small.Run, ["l2"]));
        Assert.Equal(DiffractException.BadArguments, unknown.ExitCode);
        Assert.Contains("there are: deep, l1", unknown.Message, StringComparison.Ordinal);
        Assert.Contains("choose it with --layer", Assert.Throws<DiffractException>(() => RunReport.Build(small.Run)).Message, StringComparison.Ordinal);
        Assert.Contains("deep is on layer 3", Assert.Throws<DiffractException>(() => RunReport.Build(small.Run, ["deep"], 0)).Message, StringComparison.Ordinal);
        Assert.Equal("l1", Assert.Single(RunReport.Build(small.Run, layer: 0).Crosscoders).Name);

        // So is one that its tasks have not finished: a report without it would look whole.
        small.Table("l1");
        using (UnitFolder units = new(small.Run.Evidence("l1"), new TaskShare(0, 2), ["units/a", "units/b"], small.Context()))
        {
            units.Publish(0, path => AtomicFile.WriteText(path, "chats"), _ => true, seconds: 1);
        }

        string unfinished = Assert.Throws<DiffractException>(() => RunReport.Build(small.Run, ["l1"])).Message;
        Assert.Contains("evidence/l1 is unfinished", unfinished, StringComparison.Ordinal);
        Assert.Contains("1 of 2 units is missing (1), which task 1 of 2 makes; run `diffract evidence", unfinished, StringComparison.Ordinal);
        Directory.Delete(small.Run.Evidence("l1"), recursive: true);

        // A stale stage is refused, and the message names the command.
        string manifest = Path.Combine(small.Run.Crosscoder("l1"), StageManifest.FileName);
        JsonObject changed = JsonNode.Parse(File.ReadAllText(manifest))!.AsObject();
        changed["settings"]!["seed"] = 8;
        File.WriteAllText(manifest, changed.ToJsonString());
        Assert.Contains("latents/l1 is stale", Assert.Throws<DiffractException>(() => RunReport.Build(small.Run, ["l1"])).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_damaged_log_is_named_by_its_line()
    {
        using TemporaryFolder folder = new();
        string log = folder.File("log.jsonl", "{\"step\":0,\"loss\":1}\n{\"step\":1,\"loss\":\n");
        Assert.Contains("line 2 is not a line of a training log", Assert.Throws<DiffractException>(() => TrainingLogReader.Read(log, 10)).Message, StringComparison.Ordinal);
    }
}
