using Diffract.Planted;

namespace Diffract.Tests.Planted;

/// <summary>Which learned latent is which true one, and what follows, on cases worked by hand.</summary>
public sealed class LatentMatchingTests
{
    // Three true latents, five learned ones.
    static readonly LatentMatching Matching = LatentMatching.Of(
        3, 5,
        [
            0.95, 0.99, 0.1, 0.70, 0.0,
            0.90, 0.20, 0.9, 0.65, 0.0,
            0.00, 0.00, 0.8, 0.00, 0.3,
        ],
        [
            0.9, 0.7, 0.0, 0.60, 0.9,
            0.8, 0.1, 0.3, 0.55, 0.9,
            0.0, 0.0, 0.4, 0.00, 0.9,
        ],
        [
            0.9, 0.7, 0.0, 0.60, 0.9,
            0.8, 0.1, 0.3, 0.55, 0.9,
            0.0, 0.0, 0.4, 0.00, 0.9,
        ]);

    [Fact]
    public void Both_cosines_decide_and_the_whole_is_best()
    {
        // True 0 alone would take learned 0 (0.855), but learned 1 (0.693) leaves that one to true 1 (0.72). Learned 2 has a direction, but fires elsewhere; learned 4 fires with everything, along nothing.
        Assert.Equal([1, 0, -1], Matching.LearnedOf);
        Assert.Equal(new LatentMatch(1, true, 0.9, 0.8), Matching.OfLearned[0]);
        Assert.Equal(new LatentMatch(0, true, 0.99, 0.7), Matching.OfLearned[1]);
        Assert.Equal(-1, Matching.OfLearned[2].Truth);
        Assert.Equal(new LatentMatch(0, false, 0.70, 0.60), Matching.OfLearned[3]);
        Assert.Equal(-1, Matching.OfLearned[4].Truth);
    }

    [Fact]
    public void A_latent_that_fires_on_some_of_the_tokens_is_a_part()
    {
        // Both learned latents have the direction of both true ones; the second fires on a fifth of the tokens of true 1 and nowhere else.
        LatentMatching matching = LatentMatching.Of(2, 2, [0.95, 0.99, 0.9, 0.95], [0.9, 0.3, 0.6, 0.4], [0.9, 0.3, 0.6, 1]);
        Assert.Equal(new LatentMatch(0, true, 0.95, 0.9), matching.OfLearned[0]);
        Assert.Equal(new LatentMatch(1, false, 0.95, 0.4), matching.OfLearned[1]);
        Assert.True(matching.OfLearned[1].Part);
        Assert.Equal([0, -1], matching.LearnedOf);
    }

    [Fact]
    public void Claims_are_counted_as_the_method_says()
    {
        TruthLatent[] truth = [Of(0, TruthClass.ChatOnly, 0.01), Of(1, TruthClass.Rescaled, 0.02), Of(2, TruthClass.ChatOnly, 0.001)];
        LearnedLatent[] learned =
        [
            Learned(0, delta: 0.95, nuError: 0.3), // the rescaled one, pressed to zero: wrong by norm, told by nu_error
            Learned(1, delta: 0.99), // right
            Learned(2, delta: 0.99, rate: 0.03), // resembles nothing, at its own rate
            Learned(3, delta: 0.92), // a second one for true 0
            Learned(4, delta: 0.99, dead: true), // makes no claim
        ];
        CrosscoderScore score = new("x", truth, Matching, learned, new CrosscoderFacts(0.9, 1, 0.2));
        Assert.Equal(new ClaimScore(4, 1, 2), score.Of(ClaimRule.ChatByNorm, RateBin.Everything));
        Assert.Equal(new ClaimScore(3, 1, 2), score.Of(ClaimRule.ChatByBoth, RateBin.Everything));
        Assert.Equal(new ClaimScore(4, 1, 1), score.Of(ClaimRule.ChatByNorm, RateBin.Often));
        Assert.Equal(0.4, score.Of(ClaimRule.ChatByNorm, RateBin.Often).F1);
        Assert.Equal(new ClaimScore(0, 0, 1), score.Of(ClaimRule.ChatByNorm, RateBin.All[2]));
        Assert.Equal(0, score.Of(ClaimRule.ChatByNorm, RateBin.All[2]).F1);
        Assert.Equal(
            new Dictionary<string, int> { ["rescaled"] = 1, [CrosscoderScore.Nothing] = 1, [CrosscoderScore.Duplicate] = 1 }, score.Wrong(ClaimRule.ChatByNorm, RateBin.Everything));
        Assert.Equal(1, score.VerdictsOfNormClaims(RateBin.Everything)[("rescaled", Diffract.Scaling.Verdict.CompleteShrinkage)]);

        // True 2 has learned 2's direction, which fires on other tokens.
        Assert.Equal(new Dictionary<string, int> { ["fires elsewhere"] = 1 }, score.Missed(ClaimRule.ChatByNorm, RateBin.Everything));
        Assert.Empty(score.Missed(ClaimRule.ChatByNorm, RateBin.Often));
        Assert.Equal((1, 2), score.Matched(TruthClass.ChatOnly, RateBin.Everything));
    }

    [Fact]
    public void An_interval_is_students()
    {
        SeedInterval interval = SeedInterval.Of([0.8, 0.9, 1.0, 0.7, 0.6, double.NaN]);
        Assert.Equal(0.8, interval.Mean, 1e-12);
        Assert.Equal(2.776 * Math.Sqrt(0.025 / 5), interval.HalfWidth, 1e-12);
        Assert.Equal("0.80 ± 0.20", interval.Text("F2"));
        Assert.Equal("0.50", SeedInterval.Of([0.5]).Text("F2"));
        Assert.Equal("-", SeedInterval.Of([double.NaN]).Text("F2"));
    }

    static TruthLatent Of(int index, TruthClass kind, double rate) => new(index, kind, rate, -1, -1, 0, 1, 1, 1);

    static LearnedLatent Learned(int latent, double delta, double nuError = 0.01, double rate = 0.01, bool dead = false)
        => new(latent, Matching.OfLearned[latent], rate, dead, delta, 500, nuError, 0.01, 5, 5);
}
