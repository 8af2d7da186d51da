namespace Diffract.Scaling;

/// <summary>Latent Scaling of one latent: betas by target, the two ratios base/chat with their standard errors, and the verdict.</summary>
/// <param name="Latent">Its index in the dictionary.</param>
/// <param name="CountActive">Tokens of the scaling split on which it is active.</param>
/// <param name="BetaBaseActivation">Target h_base.</param>
/// <param name="BetaChatActivation">Target h_chat.</param>
/// <param name="BetaBaseActivationNoBias">Target h_base - b_base.</param>
/// <param name="BetaChatActivationNoBias">Target h_chat - b_chat.</param>
/// <param name="BetaBaseReconstruction">Target r_base.</param>
/// <param name="BetaChatReconstruction">Target r_chat.</param>
/// <param name="BetaBaseError">Target h_base - (r_base - f·d_base).</param>
/// <param name="BetaChatError">Target h_chat - (r_chat - f·d_chat).</param>
/// <param name="NuError">BetaBaseError / BetaChatError; NaN when never active.</param>
/// <param name="NuErrorSe">Jackknife over blocks of documents; NaN when all activations lie in one.</param>
/// <param name="NuReconstruction">BetaBaseReconstruction / BetaChatReconstruction.</param>
/// <param name="NuReconstructionSe">As <paramref name="NuErrorSe"/>.</param>
/// <param name="Verdict">From Delta-norm, count and ratios.</param>
public sealed record ScalingRow(
    int Latent, long CountActive, double BetaBaseActivation, double BetaChatActivation, double BetaBaseActivationNoBias, double BetaChatActivationNoBias,
    double BetaBaseReconstruction, double BetaChatReconstruction, double BetaBaseError, double BetaChatError,
    double NuError, double NuErrorSe, double NuReconstruction, double NuReconstructionSe, Verdict Verdict)
{
    /// <summary>A latent that Latent Scaling could not look at: no numbers, undecided where its Delta-norm says chat-only.</summary>
    public static ScalingRow Unjudged(int latent, double deltaNorm)
        => new(latent, 0, double.NaN, double.NaN, double.NaN, double.NaN, double.NaN, double.NaN, double.NaN, double.NaN, double.NaN, double.NaN, double.NaN, double.NaN, Verdicts.Of(deltaNorm, 0, double.NaN, double.NaN));
}
