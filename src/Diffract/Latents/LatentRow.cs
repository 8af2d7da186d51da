namespace Diffract.Latents;

/// <summary>One latent in the latent table. Activations are in scaled units, f·s.</summary>
/// <param name="Latent">Its index in the dictionary.</param>
/// <param name="DecBaseNorm">‖d_base‖.</param>
/// <param name="DecChatNorm">‖d_chat‖.</param>
/// <param name="DeltaNorm">Relative decoder norm: 1 = chat-only. The published <c>dec_norm_diff</c> is 1 minus this.</param>
/// <param name="DecCosine">Cosine between the two decoder rows.</param>
/// <param name="EncBaseNorm">Norm of the base model's encoder row.</param>
/// <param name="EncChatNorm">Norm of the chat model's encoder row.</param>
/// <param name="EncDelta">The same ratio as <paramref name="DeltaNorm"/>, of the encoder rows.</param>
/// <param name="EncCosine">Cosine between the two encoder rows.</param>
/// <param name="Class">From <paramref name="DeltaNorm"/>, or from the designated partition of its crosscoder.</param>
/// <param name="Active">Held-out tokens on which it is active.</param>
/// <param name="Rate"><paramref name="Active"/> over all held-out tokens.</param>
/// <param name="Rates">Rates by role.</param>
/// <param name="MaxActivation">Largest activation; 0 when it is never active.</param>
/// <param name="MeanActivation">Mean over the tokens on which it is active; NaN when there is none.</param>
/// <param name="TemplateShare">Share of its active tokens that are template tokens; NaN when there is none.</param>
/// <param name="Dead">Active on fewer than <see cref="LatentClasses.DeadBelow"/> held-out tokens.</param>
public sealed record LatentRow(
    int Latent, double DecBaseNorm, double DecChatNorm, double DeltaNorm, double DecCosine, double EncBaseNorm, double EncChatNorm, double EncDelta, double EncCosine,
    LatentClass Class, long Active, double Rate, RoleRates Rates, double MaxActivation, double MeanActivation, double TemplateShare, bool Dead)
{
    /// <summary>True where a partition designated it to one model: its norms and class say so by construction.</summary>
    public bool ByConstruction { get; init; }
}
