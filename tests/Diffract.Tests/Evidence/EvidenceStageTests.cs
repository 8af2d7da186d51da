using System.Text.Json.Nodes;
using Diffract.Compute.Kernels;
using Diffract.Evidence;
using Diffract.Latents;
using Diffract.Runs;
using Diffract.Scaling;
using Diffract.Tokens;

namespace Diffract.Tests.Evidence;

public sealed class EvidenceStageTests : IDisposable
{
    readonly IBackend _backend = EvidenceBackend.Create();

    static EvidenceSettings Settings => new() { Name = EvidenceRun.Name, Conversations = 12, Resamples = 200, Shuffles = 20 };

    public void Dispose() => _backend.Dispose();

    [Fact]
    public void A_run_gets_examples_behaviours_and_interventions()
    {
        using EvidenceRun run = new(_backend);
        EvidenceStage.Run(run.Context(), Settings);
        EvidenceFolder evidence = EvidenceFolder.Open(run.Run, EvidenceRun.Name);
        using TokenStore tokens = TokenStore.Open(run.Run);

        CheckInterventions(evidence.Interventions!);
        CheckExamples(evidence, tokens);
        TokenDocument[] heldOut = [.. tokens.Documents.Where(d => d.Split == Split.HeldOut)];
        Assert.Equal(heldOut.Length, evidence.Behaviours!.HeldOutChats);
        Assert.All(evidence.Behaviours.Rows, r => Assert.StartsWith("too few", r.TooFew, StringComparison.Ordinal));
        Assert.Equal(
            heldOut.SelectMany(d => d.Labels.Select(l => l.Split('/')[0])).Where(g => g != "contrast").Distinct().Order(),
            evidence.Behaviours.Rows.Select(r => r.Group).Distinct().Order());
        Assert.False(Directory.Exists(Path.Combine(run.Run.Evidence(EvidenceRun.Name), "units")));
    }

    [Fact]
    public void A_stopped_stage_goes_on_to_the_same_numbers()
    {
        using EvidenceRun run = new(_backend, texts: 40);
        EvidenceStage.Run(run.Context(), Settings);
        string[] files = ["interventions.json", "examples.json", "behaviours.json", "template.json"];
        byte[][] whole = [.. files.Select(f => File.ReadAllBytes(Path.Combine(run.Run.Evidence(EvidenceRun.Name), f)))];

        using CancellationTokenSource stop = new();
        EvidenceSettings pairs = Settings with { UnitConversations = 2 };
        Assert.ThrowsAny<OperationCanceledException>(() => EvidenceStage.Run(run.Context(new StopsAfter(5, stop), fresh: true, stop: stop.Token), pairs));
        string units = Path.Combine(run.Run.Evidence(EvidenceRun.Name), "units");
        Assert.Equal(["00000.json", "00001.json"], Directory.GetFiles(units, "*.json").Select(Path.GetFileName).Order());

        // A published unit that has lost its end is measured again.
        string damaged = Path.Combine(units, "chats_00001_by_2.jsonl");
        File.WriteAllText(damaged, File.ReadAllText(damaged)[..^20]);
        ListProgress progress = new();
        EvidenceStage.Run(run.Context(progress), pairs);
        Assert.Contains(progress.Warnings, w => w.Contains("evidence/golden/units/chats_00001_by_2.jsonl has", StringComparison.Ordinal) && w.EndsWith("; made again", StringComparison.Ordinal));

        for (int i = 0; i < files.Length; i++)
        {
            Assert.Equal(whole[i], File.ReadAllBytes(Path.Combine(run.Run.Evidence(EvidenceRun.Name), files[i])));
        }
    }

    [Fact]
    public void A_finished_stage_is_left_alone_and_other_settings_are_refused()
    {
        using EvidenceRun run = new(_backend, texts: 20);
        EvidenceStage.Run(run.Context(), Settings);
        string manifest = File.ReadAllText(Path.Combine(run.Run.Evidence(EvidenceRun.Name), "manifest.json"));
        EvidenceStage.Run(run.Context(), Settings);
        Assert.Equal(manifest, File.ReadAllText(Path.Combine(run.Run.Evidence(EvidenceRun.Name), "manifest.json")));

        DiffractException e = Assert.Throws<DiffractException>(() => EvidenceStage.Run(run.Context(), Settings with { Conversations = 3 }));
        Assert.Contains("--fresh", e.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("scaling", "diffract scale")]
    [InlineData("latents", "diffract latents")]
    [InlineData("crosscoders", "diffract train")]
    [InlineData("tokens", "diffract tokenize")]
    public void What_is_missing_is_named_with_the_verb_that_makes_it(string stage, string verb)
    {
        using EvidenceRun run = new(_backend, texts: 20);
        string folder = stage == "tokens" ? run.Run.Tokens : Path.Combine(run.Run.Root, stage, EvidenceRun.Name);
        File.Delete(Path.Combine(folder, StageManifest.FileName));
        DiffractException e = Assert.Throws<DiffractException>(() => EvidenceStage.Run(run.Context(), Settings));
        Assert.Contains(verb, e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Documents_alone_leave_interventions_and_behaviours_out_and_say_so()
    {
        using EvidenceRun run = new(_backend, texts: 20, chats: false);
        EvidenceStage.Run(run.Context(), Settings);
        EvidenceFolder evidence = EvidenceFolder.Open(run.Run, EvidenceRun.Name);
        Assert.Null(evidence.Interventions);
        Assert.Null(evidence.Behaviours);
        Assert.Empty(evidence.TemplateShares);
        Assert.NotEmpty(evidence.Examples);
        Assert.Equal(2, ((JsonArray)evidence.Manifest.Facts["leftOut"]!).Count);

        // Nothing to share out: one task gathers the rest.
        Directory.Delete(run.Run.Evidence(EvidenceRun.Name), recursive: true);
        ListProgress progress = new();
        EvidenceStage.Run(run.Context(progress), Settings with { Share = new TaskShare(1, 2) });
        Assert.Contains(progress.Lines, l => l.Contains("nothing for task 1 of 2: there are no interventions, and task 0 gathers the rest", StringComparison.Ordinal));
        EvidenceStage.Run(run.Context(), Settings with { Share = new TaskShare(0, 2) });
        Assert.Equal(evidence.Manifest.Fingerprint(), EvidenceFolder.Open(run.Run, EvidenceRun.Name).Manifest.Fingerprint());
    }

    /// <summary>Against the loose form on the same chats with the same number: what is not stored is not edited, and no example shows it active.</summary>
    [Fact]
    public void After_skipped_positions_edits_leave_them_alone_as_the_loose_form_does()
    {
        const int Skip = 6;
        using EvidenceRun run = new(_backend, texts: 24, skipFirst: Skip);
        EvidenceStage.Run(run.Context(), Settings with { Conversations = 1000 });
        EvidenceFolder evidence = EvidenceFolder.Open(run.Run, EvidenceRun.Name);
        using TokenStore tokens = TokenStore.Open(run.Run);
        Assert.Equal(Skip, tokens.SkipFirst);
        TokenDocument[] chats = [.. tokens.Documents.Where(d => d.Split == Split.HeldOut && AnswerMasks.Of(tokens.Roles(d)).All.Contains(true))];
        using TemporaryFolder folder = new();
        InterveneSettings loose = new()
        {
            BaseModel = Pairs.Base,
            ChatModel = Pairs.Chat,
            Crosscoder = run.Run.Crosscoder(EvidenceRun.Name),
            Layer = 3,
            Chats = folder.File("chats.jsonl", string.Join('\n', chats.Select(d => $$"""{"ids": [{{string.Join(',', tokens.Ids(d).ToArray())}}], "roles": [{{string.Join(',', tokens.Roles(d).ToArray())}}]}"""))),
            SkipFirst = Skip,
            Out = Path.Combine(folder.Path, "out.json"),
        };
        LooseIntervention.Run(_backend, new SilentProgress(), loose, TestContext.Current.CancellationToken);
        LooseIntervention.Run(_backend, new SilentProgress(), loose with { SkipFirst = 0, Out = Path.Combine(folder.Path, "whole.json") }, TestContext.Current.CancellationToken);
        JsonNode skipped = JsonNode.Parse(File.ReadAllText(loose.Out))!, whole = JsonNode.Parse(File.ReadAllText(Path.Combine(folder.Path, "whole.json")))!;
        Assert.Equal(chats.Length, evidence.Interventions!.Conversations);
        foreach (EditResult edit in evidence.Interventions.Edits.Where(e => e.Subset == "all" && e.Edit is "none" or "all" or "error"))
        {
            double got = (double)skipped[edit.Edit]![edit.Subset]!["kl"]!["mean"]!;
            Assert.Equal(got, edit.Kl.Value, 1e-9 * got);
        }

        Assert.NotEqual((double)whole["none"]!["all"]!["kl"]!["mean"]!, (double)skipped["none"]!["all"]!["kl"]!["mean"]!, 1e-6);
        Assert.All(
            evidence.Examples.SelectMany(l => l.Top.Concat(l.Quantiles.SelectMany(q => q))),
            e => Assert.All(e.Activations.Take(Math.Max(0, Skip - e.FirstToken)), a => Assert.True(a == 0 || float.IsNaN(a), $"{a} before position {Skip}")));
    }

    [Fact]
    public void A_changed_checkpoint_is_refused()
    {
        using EvidenceRun run = new(_backend, texts: 20);
        string file = Path.Combine(run.Run.Tokens, StageManifest.FileName);
        StageManifest manifest = StageManifest.TryLoad(run.Run.Tokens)!;
        manifest.Settings["chat"]!["checkpoint"] = "0123";
        manifest.Save(run.Run.Tokens);
        DiffractException e = Assert.Throws<DiffractException>(() => EvidenceStage.Run(run.Context(), Settings));
        Assert.Contains("the chat checkpoint", e.Message, StringComparison.Ordinal);
        Assert.Contains("has changed since `tokenize`", e.Message, StringComparison.Ordinal);
        Assert.True(File.Exists(file));
    }

    [Fact]
    public void Survivors_are_the_candidates_and_without_them_the_highest_norms()
    {
        LatentRow[] latents = [.. Enumerable.Range(0, 40).Select(j => Latent(j, j / 40.0, dead: j == 39))];
        ScalingRow[] scaling = [.. Enumerable.Range(0, 40).Select(j => Scaled(j, j is 3 or 7 ? Verdict.ChatSpecific : Verdict.Both))];
        (int[] candidates, bool survivors) = BehaviourStep.Candidates(latents, scaling);
        Assert.True(survivors);
        Assert.Equal([3, 7], candidates);

        (candidates, survivors) = BehaviourStep.Candidates(latents, [.. scaling.Select(s => s with { Verdict = Verdict.Both })]);
        Assert.False(survivors);
        Assert.Equal(Enumerable.Range(19, 20).Reverse(), candidates);
    }

    [Fact]
    public void Survivors_are_shown_first_then_high_norms_then_chat_only_ones_up_to_the_cap()
    {
        LatentRow[] latents = [.. Enumerable.Range(0, 60).Select(j => Latent(j, j / 60.0, dead: false))];
        ScalingRow[] scaling = [.. Enumerable.Range(0, 60).Select(j => Scaled(j, j == 56 ? Verdict.ChatSpecific : Verdict.Both))];
        Assert.Equal([56, 59, 58, 57, 55], EvidenceStage.Shown(latents, scaling, null, Settings with { ShownLatents = 3, MostLatents = 5 }));
    }

    static LatentRow Latent(int j, double delta, bool dead) => new(j, 1, 1, delta, 0, 1, 1, 0.5, 1, LatentClasses.Of(delta), 100, 0.1, default, 1, 1, 0, dead);

    static ScalingRow Scaled(int j, Verdict verdict) => new(j, 100, 0, 0, 0, 0, 0, 0, 0, 0, 0.1, 0, 0.1, 0, verdict);

    static void CheckInterventions(InterventionResults results)
    {
        Assert.Equal(12, results.Conversations);
        Assert.Equal(34, results.PoolSize);
        Assert.Equal(34, results.PoolAfterFilter);
        Assert.Equal(17, results.LatentSets["worst_scaling"].Length);
        string[] sets = ["best_norm", "best_scaling", "control", "worst_norm", "worst_scaling"];
        Assert.Equal(
            new[] { "none", "all", "error", "template" }.Concat(sets.SelectMany(s => new[] { "replace_" + s, "add_" + s })),
            results.Edits.Where(e => e.Subset == "all").Select(e => e.Edit));
        EditResult none = results.Edits.First(e => e.Edit == "none"), all = results.Edits.First(e => e.Edit == "all");
        Assert.Null(none.GapShare);
        Assert.Equal(1 - (all.Kl.Value / none.Kl.Value), all.GapShare!.Value, 12);
        Assert.Equal(all.Kl.Value - none.Kl.Value, all.DifferenceFromNone!.Value, 12);
        Assert.InRange(none.Kl.Value, 1, 8);
        Assert.InRange(results.Edits.First(e => e.Edit == "error").Kl.Value, 0, 0.5);
        Assert.All(results.Edits, e => Assert.True(e.TooFew is null && e.Kl.Low <= e.Kl.Value && e.Kl.Value <= e.Kl.High && e.Kl.N > 0, e.Edit));
        Assert.Equal(results.Positions, none.Kl.N);
        Assert.Equal("control", results.Edits.First(e => e.Edit == "add_control").Group);
        Assert.Equal(17, results.Edits.First(e => e.Edit == "add_control").Latents);
        PairedDifference halves = results.Differences.First(d => d is { EditA: "replace_best_scaling", EditB: "replace_worst_scaling", Subset: "k_first", Metric: "kl" });
        Assert.Equal(Kl("replace_best_scaling") - Kl("replace_worst_scaling"), halves.Difference.Value, 12);
        double Kl(string edit) => results.Edits.First(e => e.Edit == edit && e.Subset == "k_first").Kl.Value;
    }

    static void CheckExamples(EvidenceFolder evidence, TokenStore tokens)
    {
        Assert.Equal(evidence.Examples.Select(e => e.Latent), evidence.TemplateShares.Select(s => s.Latent));
        Assert.True(evidence.Examples.Count >= 20);
        foreach (LatentExamples latent in evidence.Examples)
        {
            Assert.Equal(5, latent.Quantiles.Count);
            Assert.NotEmpty(latent.Top);
            Assert.Equal(latent.Top.OrderByDescending(t => t.Max).Select(t => t.Document), latent.Top.Select(t => t.Document));
            foreach (TokenExample example in latent.Top.Concat(latent.Quantiles.SelectMany(q => q)))
            {
                TokenDocument document = tokens.Documents[example.Document];
                Assert.Equal(Split.HeldOut, document.Split);
                Assert.Equal(document.Labels, example.Labels);
                Assert.Equal(example.Max, example.Activations[example.Peak], 6);
                Assert.Equal(example.Activations.Max(), example.Activations[example.Peak]);
                Assert.InRange(example.Tokens.Length, 1, 40);
                Assert.Equal(tokens.Roles(document).Slice(example.FirstToken, example.Tokens.Length).ToArray().Select(r => (int)r), example.Roles);
            }
        }
    }

    sealed class StopsAfter(int chats, CancellationTokenSource stop) : IProgressSink
    {
        public void Line(string text)
        {
        }

        public void Warn(string text)
        {
        }

        public void Done(string what, string summary)
        {
        }

        public void Report(string what, long done, long total, string unit, string? note = null)
        {
            if (unit == "chats" && done >= chats)
            {
                stop.Cancel();
            }
        }
    }
}
