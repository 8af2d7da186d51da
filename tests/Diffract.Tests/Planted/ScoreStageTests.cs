using Diffract.Activations;
using Diffract.Evidence;
using Diffract.Planted;
using Diffract.Runs;
using Diffract.Scaling;
using Diffract.Tokens;

namespace Diffract.Tests.Planted;

/// <summary>Scores of crosscoders whose worth is known: the truth itself, and the truth with the models exchanged.</summary>
public sealed class ScoreStageTests(PlantedRun planted) : IClassFixture<PlantedRun>
{
    [Fact]
    public void The_truth_itself_is_right_where_its_rule_can_be()
    {
        planted.AddOracle("oracle");
        CrosscoderScore score = Assert.Single(ScoreStage.Run(planted.Context(), ["oracle"]));
        Assert.Equal(Enumerable.Range(0, 48), score.Learned.Select(l => l.Match.Truth));
        Assert.All(score.Learned, l => Assert.True(l.Match is { Assigned: true, Cosine: > 0.999, Coactivation: > 0.999 }));

        // Decoupled latents have one model's decoder only, so the norm rule must take them; Latent Scaling tells them by the other model's reconstruction.
        int decoupled = planted.Truth.Latents.Count(l => l.Class == TruthClass.Decoupled);
        ClaimScore byNorm = score.Of(ClaimRule.ChatByNorm, RateBin.Everything);
        Assert.Equal((byNorm.Truths + (decoupled / 2), byNorm.Truths, planted.Truth.Latents.Count(l => l.Class == TruthClass.ChatOnly)), (byNorm.Claimed, byNorm.Right, byNorm.Truths));
        Assert.Equal(new Dictionary<string, int> { ["decoupled"] = decoupled / 2 }, score.Wrong(ClaimRule.ChatByNorm, RateBin.Everything));
        Assert.Equal(decoupled / 2, score.VerdictsOfNormClaims(RateBin.Everything)[("decoupled", Verdict.Decoupling)]);
        foreach (ClaimRule rule in (ClaimRule[])[ClaimRule.ChatByScaling, ClaimRule.ChatByBoth, ClaimRule.BaseByScaling, ClaimRule.BaseByBoth])
        {
            Assert.Equal((rule, 1.0), (rule, score.Of(rule, RateBin.Everything).F1));
            Assert.Empty(score.Missed(rule, RateBin.Everything));
        }

        // Every rate lies in one bin.
        Assert.Equal(byNorm.Claimed, RateBin.All.Skip(2).Sum(b => score.Of(ClaimRule.ChatByNorm, b).Claimed));
        Assert.Equal(byNorm.Truths, RateBin.All.Skip(2).Sum(b => score.Of(ClaimRule.ChatByNorm, b).Truths));
        foreach (string file in (string[])["oracle.json", "oracle.csv", ScoreStage.TableFile])
        {
            Assert.True(File.Exists(Path.Combine(planted.Run.Scores, file)), file);
        }

        Assert.Equal(49, File.ReadAllLines(Path.Combine(planted.Run.Scores, "oracle.csv")).Length);
        Assert.Contains("| chat-specific by both | oracle | 8 | 8 | 8 | 1.00 | 1.00 | 1.00 |", ScoreTable.Markdown([[score]]), StringComparison.Ordinal);
        Assert.Contains("| chat-specific by both | oracle | 16 | 16 | 16 | 1.00 ± 0.00 | 1.00 ± 0.00 | 1.00 ± 0.00 |", ScoreTable.Markdown([[score], [score]]), StringComparison.Ordinal);
    }

    [Fact]
    public void The_models_exchanged_are_wrong_throughout()
    {
        planted.AddOracle("swapped", swapped: true);
        CrosscoderScore score = Assert.Single(ScoreStage.Run(planted.Context(), ["swapped"]));
        foreach (ClaimRule rule in Claims.All)
        {
            Assert.Equal(0, score.Of(rule, RateBin.Everything).Right);
        }

        // By its norms every base-only latent looks chat-only; but what it writes is nowhere in the chat model.
        ClaimScore byNorm = score.Of(ClaimRule.ChatByNorm, RateBin.Everything);
        Assert.Equal((0.0, 0.0, 0.0), (byNorm.Precision, byNorm.Recall, byNorm.F1));
        Assert.Equal(8, byNorm.Claimed - 4);
    }

    [Fact]
    public void A_run_that_was_not_planted_and_one_without_crosscoders_are_refused()
    {
        using TemporaryFolder folder = new();
        StageContext empty = planted.Context() with { Run = RunFolder.Create(folder.Path) };
        Assert.Contains("has no planted truth", Assert.Throws<DiffractException>(() => ScoreStage.Run(empty, [])).Message, StringComparison.Ordinal);
        Assert.Contains("latents/gone is missing", Assert.Throws<DiffractException>(() => ScoreStage.Run(planted.Context(), ["gone"])).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_planted_run_has_no_models_to_run()
    {
        Assert.Contains("there are no models to run", Assert.Throws<DiffractException>(() => HarvestStage.Run(planted.Context(), new HarvestSettings())).Message, StringComparison.Ordinal);
        Assert.Contains("there are no models to run", Assert.Throws<DiffractException>(() => EvidenceStage.Run(planted.Context(), new EvidenceSettings { Name = "oracle" })).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void The_stores_hold_what_was_drawn()
    {
        using TokenStore tokens = TokenStore.Open(planted.Run);
        using ActivationStore store = ActivationStore.Open(planted.Run, PlantedStage.Layer);
        using TruthFolder truth = TruthFolder.Open(planted.Run);
        Assert.Equal(tokens.Tokens, store.Rows);
        Assert.Equal(planted.Truth.Directions, truth.Directions);
        Assert.Equal(planted.Truth.Latents, truth.Latents);
        TrueCodes codes = new(planted.Truth, tokens.Tokens);
        Compute.Buffers.Matrix acts = Compute.Buffers.Matrix.Host(1, store.E);
        using Compute.Buffers.IBuffer owner = acts.Buffer;
        float[] drawn = new float[store.E];
        foreach (TokenDocument d in tokens.Documents.Where(d => d.Split == Split.HeldOut).Take(5))
        {
            store.Read(d.Start + 7, 1, acts);
            codes.Activations(d.Start + 7, drawn);
            Assert.Equal(drawn, acts.Row(0).ToArray());
            Assert.Equal(codes.Latents(d.Start + 7).ToArray(), truth.Codes.OfDocument(d.Number).Where(c => c.Token == 7).Select(c => c.Latent));
            Assert.Equal(codes.Values(d.Start + 7).ToArray(), truth.Codes.OfDocument(d.Number).Where(c => c.Token == 7).Select(c => c.Value));
        }

        // Called again, nothing is made anew; with other settings it is refused.
        DateTime made = File.GetLastWriteTimeUtc(Path.Combine(planted.Run.Planted, StageManifest.FileName));
        PlantedStage.Run(planted.Context(), PlantedRun.Settings);
        Assert.Equal(made, File.GetLastWriteTimeUtc(Path.Combine(planted.Run.Planted, StageManifest.FileName)));
        Assert.Contains("other settings", Assert.Throws<DiffractException>(() => PlantedStage.Run(planted.Context(), PlantedRun.Settings with { Noise = 1 })).Message, StringComparison.Ordinal);
    }
}
