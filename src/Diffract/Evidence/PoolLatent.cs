namespace Diffract.Evidence;

/// <summary>What the choice of latent sets looks at.</summary>
/// <param name="Latent">Index.</param>
/// <param name="DeltaNorm">Relative decoder norm, 1 = chat-only; NaN when both decoders are 0.</param>
/// <param name="NuError">Ratio of the error betas; NaN when never active.</param>
/// <param name="NuReconstruction">Ratio of the reconstruction betas.</param>
/// <param name="Rate">Firing rate, activations a token.</param>
/// <param name="Shared">Whether it is of the class shared, and alive.</param>
public sealed record PoolLatent(int Latent, double DeltaNorm, double NuError, double NuReconstruction, double Rate, bool Shared);
