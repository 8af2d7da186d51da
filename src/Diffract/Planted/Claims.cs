using Diffract.Latents;
using Diffract.Scaling;

namespace Diffract.Planted;

/// <summary>
/// The claims that are scored, with the bounds of the latent table and of Latent Scaling. By norm: Delta-norm above 0.9 (chat) or below 0.1 (base). By scaling: both ratios small, from enough activations, whatever
/// the norms are; for the base model with the two models' parts exchanged. By both: both. A dead latent makes no claim.
/// In a crosscoder with a designated partition the norms are what the masks made them: there "by Delta-norm" is membership in the partition.
/// </summary>
public static class Claims
{
    public static IReadOnlyList<ClaimRule> All { get; } = Enum.GetValues<ClaimRule>();

    /// <summary>The class that a rule claims.</summary>
    public static TruthClass Claimed(ClaimRule rule) => rule <= ClaimRule.ChatByBoth ? TruthClass.ChatOnly : TruthClass.BaseOnly;

    public static string Name(ClaimRule rule) => rule switch
    {
        ClaimRule.ChatByNorm => "chat-specific by Delta-norm",
        ClaimRule.ChatByScaling => "chat-specific by Latent Scaling",
        ClaimRule.ChatByBoth => "chat-specific by both",
        ClaimRule.BaseByNorm => "base-specific by Delta-norm",
        ClaimRule.BaseByScaling => "base-specific by Latent Scaling",
        _ => "base-specific by both",
    };

    /// <summary>True when the rule claims this latent.</summary>
    public static bool Holds(ClaimRule rule, LearnedLatent latent) => !latent.Dead && Objection(rule, latent) is null;

    /// <summary>What keeps the rule from claiming a living latent: "norm", "too few tokens", "nu_error", "nu_reconstruction"; null when it claims it.</summary>
    public static string? Objection(ClaimRule rule, LearnedLatent latent)
    {
        bool chat = Claimed(rule) == TruthClass.ChatOnly;
        bool byNorm = (latent.Designated ?? LatentClasses.Of(latent.DeltaNorm)) == (chat ? LatentClass.ChatOnly : LatentClass.BaseOnly);
        (double error, double reconstruction) = chat ? (latent.NuError, latent.NuReconstruction) : (latent.BaseNuError, latent.BaseNuReconstruction);
        string? byScaling = latent.CountActive < Verdicts.FewestActivations ? "too few tokens"
            : !(Math.Abs(error) < Verdicts.NuErrorBelow) ? "nu_error"
            : !(Math.Abs(reconstruction) < Verdicts.NuReconstructionBelow) ? "nu_reconstruction"
            : null;
        return rule switch
        {
            ClaimRule.ChatByNorm or ClaimRule.BaseByNorm => byNorm ? null : "norm",
            ClaimRule.ChatByScaling or ClaimRule.BaseByScaling => byScaling,
            _ => byNorm ? byScaling : "norm",
        };
    }
}
