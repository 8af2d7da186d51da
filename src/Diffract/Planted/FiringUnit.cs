namespace Diffract.Planted;

/// <summary>A latent that fires by itself, or two that fire with each other in mind. A uniform number decides: below Both both fire, below Both + OnlyFirst the first alone, and so on.</summary>
/// <param name="First">A latent.</param>
/// <param name="Second">Another, or -1.</param>
/// <param name="Both">Chance that both fire.</param>
/// <param name="OnlyFirst">Chance that only the first does.</param>
/// <param name="OnlySecond">Chance that only the second does.</param>
/// <param name="OneMagnitude">Both take the same magnitude when they fire together: a decoupled pair is one concept.</param>
readonly record struct FiringUnit(int First, int Second, double Both, double OnlyFirst, double OnlySecond, bool OneMagnitude)
{
    /// <summary>Chance that anything fires.</summary>
    public double Any => Both + OnlyFirst + OnlySecond;

    public static FiringUnit[] Of(TruthLatent[] latents, PlantedSettings settings)
    {
        List<FiringUnit> units = [];
        foreach (TruthLatent latent in latents)
        {
            int other = Math.Max(latent.Partner, latent.CorrelatedWith);
            if (other < 0)
            {
                units.Add(new FiringUnit(latent.Index, -1, 0, latent.Rate, 0, false));
            }
            else if (other > latent.Index)
            {
                double p = latent.Rate, q = latents[other].Rate;
                double both = latent.Partner >= 0
                    ? settings.Overlap * 2 * p / (1 + settings.Overlap)
                    : (p * q) + (latent.Correlation * Math.Sqrt(p * (1 - p) * q * (1 - q)));
                units.Add(new FiringUnit(latent.Index, other, both, p - both, q - both, latent.Partner >= 0));
            }
        }

        return [.. units];
    }
}
