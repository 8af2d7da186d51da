namespace Diffract.Planted;

/// <summary>What a learned latent stands for.</summary>
/// <param name="Truth">The true latent that it stands for; -1 for none.</param>
/// <param name="Assigned">It is the one learned latent that the optimal assignment gives to that true latent.</param>
/// <param name="Cosine">Of the decoder rows, both models end to end.</param>
/// <param name="Coactivation">Cosine of the codes over held-out tokens.</param>
public readonly record struct LatentMatch(int Truth, bool Assigned, double Cosine, double Coactivation)
{
    /// <summary>It has the direction of its true latent, but fires on a part of its tokens only.</summary>
    public bool Part => Truth >= 0 && Coactivation < LatentMatching.LeastCoactivation;
}
