namespace Diffract.Scaling;

/// <summary>What Latent Scaling says about a latent that looks chat-only by its decoder norms; <see cref="Verdicts"/> has the bounds.</summary>
public enum Verdict
{
    /// <summary>Delta-norm not above 0.9: no claim is tested.</summary>
    NotChatOnly,

    /// <summary>Both ratios are small: the base model has neither the latent's direction in its error nor other latents that write it.</summary>
    ChatSpecific,

    /// <summary>Only nu_error is large: the base model has the direction, but the norm of its decoder row was pressed to zero.</summary>
    CompleteShrinkage,

    /// <summary>Only nu_reconstruction is large: other latents write the same direction in the base model.</summary>
    Decoupling,

    /// <summary>Both ratios are large.</summary>
    Both,

    /// <summary>A ratio is not a number, or too few activations.</summary>
    Undecided,
}
