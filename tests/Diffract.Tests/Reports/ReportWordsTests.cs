using Diffract.Evidence;
using Diffract.Reports;

namespace Diffract.Tests.Reports;

public sealed class ReportWordsTests
{
    [Fact]
    public void The_headline_counts_what_looks_chat_only_and_what_survives()
    {
        Assert.Equal("3 of 40 latents that look chat-only by decoder norm survive Latent Scaling (BatchTopK: 1 of 5, L1: 2 of 35).", ReportFixture.Full().Answer.Headline);
        Assert.Equal("None found: of 12 latents that look chat-only by decoder norm (BatchTopK: none to test, L1: 0 of 12), none survives Latent Scaling.", ReportFixture.NothingFound().Answer.Headline);
        Assert.Equal("None found: of 6 latents that look chat-only by decoder norm (L1 “mine”), none survives Latent Scaling.", ReportFixture.Parts().Answer.Headline);
        Assert.Equal("Not decided: Latent Scaling has not been run on any crosscoder here.", ReportFixture.OnlyTrained().Answer.Headline);
    }

    [Fact]
    public void The_answer_gives_the_share_of_the_gap_of_each_half_with_its_interval()
    {
        string effects = ReportFixture.Full().Answer.Paragraphs[1];
        Assert.Contains("On 300 held-out chats (11,825 answer tokens)", effects, StringComparison.Ordinal);
        Assert.Contains("the best half recovers 11% (8.9% to 13%) of the gap and the worst 1.4% (−0.6% to 3.4%)", effects, StringComparison.Ordinal);
    }

    [Fact]
    public void Behaviours_are_tracked_by_survivors_or_not_at_all()
    {
        Assert.Contains("the survivors tell unknowable (latent", ReportFixture.Full().Answer.Paragraphs[2], StringComparison.Ordinal);
        Assert.Contains("no survivor, so none tracks a behaviour", ReportFixture.NothingFound().Answer.Paragraphs[2], StringComparison.Ordinal);
        Assert.Contains("was not measured: the run has no labelled held-out chats", ReportFixture.Parts().Answer.Paragraphs[2], StringComparison.Ordinal);
    }

    [Fact]
    public void A_half_that_is_too_small_has_no_number()
    {
        RunReport full = ReportFixture.Full();
        ReportCrosscoder c = full.Crosscoders[0];
        Estimate none = new(double.NaN, double.NaN, double.NaN, 0);
        ReportCrosscoder few = c with
        {
            Effects = c.Effects! with { Edits = [.. c.Effects.Edits.Select(e => e.Group is "baseline" ? e : e with { Kl = none, Nll = none, GapShare = null, TooFew = "too few: 12 latents, wanted 20" })] },
        };
        RunReport told = RunReport.Tell(full.Title, full.Answer, full.Comparison, [few], full.Trust);
        Assert.Contains("the halves of the pool can't be compared (too few: 12 latents, wanted 20); all its latents together recover 17%", told.Answer.Paragraphs[1], StringComparison.Ordinal);
    }

    [Fact]
    public void A_behaviour_is_named_only_above_what_shuffled_labels_reach()
    {
        RunReport full = ReportFixture.Full();
        ReportCrosscoder c = full.Crosscoders[0];
        BehaviourRow row = new("refusal", 3, new(0.7, 0.66, 0.74, 800), 0.71, 0.55, 0.65, 40, 41, 800, null, null, 1600, true, 0.95);
        BehaviourRow[] rows = [row, row with { Group = "story", ShuffledHigh = 0.67 }, row with { Group = "joke", Auc = new(0.52, 0.49, 0.55, 800), ShuffledHigh = 0.4 }];
        RunReport told = RunReport.Tell(full.Title, full.Answer, full.Comparison, [c with { Behaviours = c.Behaviours! with { Rows = rows } }], full.Trust);
        Assert.Equal(
            "BatchTopK: the survivors tell refusal (latent 3, AUC 0.70 (0.66 to 0.74)) best, on 3,150 held-out chats. 0 of 3 behaviours reach an AUC of 0.80; 1 stands above shuffled labels, a low bar (0.67 at most in 95 of 100 cases).",
            Assert.Single(told.Says.Behaviours));
    }

    [Fact]
    public void Refusal_against_contrast_is_said_but_is_no_further_behaviour()
    {
        RunReport full = ReportFixture.Full();
        ReportCrosscoder c = full.Crosscoders[0];
        BehaviourRow row = new("refusal", 3, new(0.9, 0.86, 0.94, 800), 0.91, 0.55, 0.65, 40, 41, 800, null, null, 1600, true, 0.95);
        BehaviourRow[] rows = [row with { Against = "contrast", Auc = new(0.75, 0.7, 0.8, 120) }, row];
        BehaviourResults results = c.Behaviours! with { Rows = rows };
        Assert.Equal((1, 1, 1), (results.Measured().Count, results.Tracked().Count, results.Clear()));
        string said = Assert.Single(RunReport.Tell(full.Title, full.Answer, full.Comparison, [c with { Behaviours = results }], full.Trust).Says.Behaviours);
        Assert.Contains("1 of 1 behaviour reaches an AUC of 0.80", said, StringComparison.Ordinal);
        Assert.EndsWith(" Refusal against contrast only: latent 3, AUC 0.75 (0.70 to 0.80).", said, StringComparison.Ordinal);
    }

    [Fact]
    public void Both_sparsities_stand_side_by_side()
    {
        Assert.Matches("^L1's validation L0 is [0-9.]+, beside BatchTopK's k of 16 \\(its own validation L0: [0-9.]+\\)\\.$", ReportWords.Sparsity(ReportFixture.Full().Crosscoders));
        Assert.Equal("", ReportWords.Sparsity(ReportFixture.Parts().Crosscoders));
    }

    [Fact]
    public void Latents_that_pass_both_ratios_below_the_norm_are_said()
    {
        ReportLatent passes = new() { Latent = 1, Class = "other", DeltaNorm = 0.7, NuError = 0.1, NuReconstruction = -0.3, ScalingActive = 50 };
        ReportScaling scaling = ReportScaling.From(
            [passes, passes with { Latent = 2, ScalingActive = 49 }, passes with { Latent = 3, NuError = 0.2 }, passes with { Latent = 4, Class = "base-only", DeltaNorm = 0 }, passes with { Latent = 5, NuReconstruction = double.NaN }], 1000);
        Assert.Equal(1, scaling.BelowNorm);
        Assert.Equal((1, ReportScaling.BelowNormName), (Assert.Single(scaling.Points).Latent, scaling.Points[0].Verdict));
        Assert.Equal(" 1 latent below that norm passes both ratios all the same.", ReportWords.Below(scaling));
    }

    [Fact]
    public void Bins_count_every_latent_once_and_edges_go_up()
    {
        double[] norms = [0, 0.005, 0.01, 0.5, 0.9, 0.95, 0.999, 1, double.NaN];
        ReportNorms bins = ReportNorms.From([.. norms.Select((x, i) => new ReportLatent { Latent = i, Class = x > 0.9 ? "chat-only" : "other", DeltaNorm = x, Verdict = i == 7 ? "chat-specific" : "" })]);
        Assert.Equal(8, bins.Bins.Sum());
        Assert.Equal([2, 1], bins.Bins.Take(2));
        Assert.Equal(1, bins.Bins[50]);
        Assert.Equal(1, bins.Bins[90]);
        Assert.Equal(2, bins.Bins[99]);
        Assert.Equal(1, bins.Survivors[99]);
        Assert.Equal(4, bins.TopBins.Sum());
        Assert.Equal(1, bins.TopBins[0]);
        Assert.Equal(1, bins.TopBins[10]);
        Assert.Equal(3, bins.All.ChatOnly);
    }
}
