using Diffract.Scaling;

namespace Diffract.Planted;

/// <summary>A crosscoder against the truth: every learned latent with its match, and what follows for every rule.</summary>
public sealed class CrosscoderScore
{
    /// <summary>A claimed latent beside the assigned one, or a part of it, of the right class.</summary>
    public const string Duplicate = "duplicate";

    /// <summary>A claimed latent that resembles no true one.</summary>
    public const string Nothing = "no true latent";

    readonly IReadOnlyList<TruthLatent> _truth;
    readonly LatentMatching _matching;

    public CrosscoderScore(string name, IReadOnlyList<TruthLatent> truth, LatentMatching matching, IReadOnlyList<LearnedLatent> learned, CrosscoderFacts facts)
        => (Name, _truth, _matching, Learned, Facts) = (name, truth, matching, learned, facts);

    public string Name { get; }

    public CrosscoderFacts Facts { get; }

    /// <summary>Row j is latent j.</summary>
    public IReadOnlyList<LearnedLatent> Learned { get; }

    public IReadOnlyList<TruthLatent> Truth => _truth;

    /// <summary>True latents of a class in a range of rates that a living learned latent is assigned to.</summary>
    public (int Matched, int All) Matched(TruthClass kind, RateBin bin)
    {
        TruthLatent[] all = [.. _truth.Where(t => t.Class == kind && bin.Holds(t.Rate))];
        return (all.Count(t => _matching.LearnedOf[t.Index] is >= 0 and int j && !Learned[j].Dead), all.Length);
    }

    public ClaimScore Of(ClaimRule rule, RateBin bin)
    {
        TruthClass kind = Claims.Claimed(rule);
        LearnedLatent[] claimed = [.. Learned.Where(l => Claims.Holds(rule, l) && bin.Holds(RateOf(l)))];
        int right = claimed.Count(l => l.Match.Assigned && _truth[l.Match.Truth].Class == kind);
        return new ClaimScore(claimed.Length, right, _truth.Count(t => t.Class == kind && bin.Holds(t.Rate)));
    }

    /// <summary>Wrong claims of a rule, by what the latent is.</summary>
    public Dictionary<string, int> Wrong(ClaimRule rule, RateBin bin)
        => Learned.Where(l => Claims.Holds(rule, l) && bin.Holds(RateOf(l)) && !(l.Match.Assigned && _truth[l.Match.Truth].Class == Claims.Claimed(rule)))
            .GroupBy(l => What(rule, l)).ToDictionary(g => g.Key, g => g.Count());

    /// <summary>What Latent Scaling says of the latents that the norm rule takes for chat-specific, by what they are: (class, verdict) to count.</summary>
    public Dictionary<(string What, Verdict Verdict), int> VerdictsOfNormClaims(RateBin bin)
        => Learned.Where(l => Claims.Holds(ClaimRule.ChatByNorm, l) && bin.Holds(RateOf(l)))
            .GroupBy(l => (What(ClaimRule.ChatByNorm, l), Verdicts.Of(l.DeltaNorm, l.CountActive, l.NuError, l.NuReconstruction)))
            .ToDictionary(g => g.Key, g => g.Count());

    /// <summary>
    /// True latents that a rule misses, by why: "not learned" (no living latent has its direction), "fires elsewhere" (one has the direction, but fires on other tokens: absorbed or split), "taken" (the one that fits
    /// is assigned to another true latent: merged), "dead", else what the rule objects to.
    /// </summary>
    public Dictionary<string, int> Missed(ClaimRule rule, RateBin bin)
        => _truth.Where(t => t.Class == Claims.Claimed(rule) && bin.Holds(t.Rate)).Select(t => WhyMissed(rule, t.Index)).OfType<string>().GroupBy(w => w).ToDictionary(g => g.Key, g => g.Count());

    string? WhyMissed(ClaimRule rule, int truth)
    {
        int learned = _matching.LearnedOf[truth];
        if (learned >= 0)
        {
            return Learned[learned].Dead ? "dead" : Claims.Objection(rule, Learned[learned]);
        }

        LearnedLatent[] alike = [.. Learned.Where(l => !l.Dead && _matching.Cosine(truth, l.Latent) >= LatentMatching.LeastCosine)];
        return alike.Length == 0 ? "not learned"
            : alike.Any(l => _matching.Coactivation(truth, l.Latent) >= LatentMatching.LeastCoactivation) ? "taken"
            : "fires elsewhere";
    }

    string What(ClaimRule rule, LearnedLatent latent)
        => latent.Match.Truth < 0 ? Nothing
            : _truth[latent.Match.Truth].Class is TruthClass kind && kind == Claims.Claimed(rule) && !latent.Match.Assigned ? Duplicate
            : TruthClasses.Name(kind);

    double RateOf(LearnedLatent latent) => latent.Match.Assigned ? _truth[latent.Match.Truth].Rate : latent.Rate;
}
