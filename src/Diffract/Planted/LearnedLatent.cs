using Diffract.Latents;

namespace Diffract.Planted;

/// <summary>What a run says of a learned latent, beside what it is.</summary>
/// <param name="Latent">Its index in the crosscoder.</param>
/// <param name="Match">The true latent behind it.</param>
/// <param name="Rate">Share of the held-out tokens on which it is active.</param>
/// <param name="Dead">Active on too few of them to be looked at.</param>
/// <param name="DeltaNorm">1 is chat-only.</param>
/// <param name="CountActive">Tokens of the scaling split on which it is active.</param>
/// <param name="NuError">Latent Scaling along the chat decoder row, base over chat.</param>
/// <param name="NuReconstruction">As <paramref name="NuError"/>.</param>
/// <param name="BaseNuError">The mirror image: along the base decoder row, chat over base.</param>
/// <param name="BaseNuReconstruction">As <paramref name="BaseNuError"/>.</param>
/// <param name="Designated">What the partition says of it; null in a crosscoder without one.</param>
public sealed record LearnedLatent(
    int Latent, LatentMatch Match, double Rate, bool Dead, double DeltaNorm, long CountActive, double NuError, double NuReconstruction, double BaseNuError, double BaseNuReconstruction,
    LatentClass? Designated = null);
