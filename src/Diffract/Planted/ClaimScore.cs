namespace Diffract.Planted;

/// <summary>What one rule's claims are worth among the latents of one range of rates.</summary>
/// <param name="Claimed">Learned latents that it claims; each counts at the rate of the true latent it is assigned to, or at its own where there is none.</param>
/// <param name="Right">Those assigned to a true latent of the class claimed: also the true latents that are found.</param>
/// <param name="Truths">True latents of that class.</param>
public readonly record struct ClaimScore(int Claimed, int Right, int Truths)
{
    /// <summary>Right / claimed; NaN without a claim.</summary>
    public double Precision => (double)Right / Claimed;

    /// <summary>Right / truths; NaN without one.</summary>
    public double Recall => (double)Right / Truths;

    /// <summary>Harmonic mean of the two, 2 right / (claimed + truths): 0 without a right claim, NaN where there was nothing to claim and nothing was.</summary>
    public double F1 => 2.0 * Right / (Claimed + Truths);
}
