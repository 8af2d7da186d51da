namespace Diffract.Scaling;

/// <summary>
/// The closed form of spec 5.1: beta = argmin Σ‖y - beta·f·v‖² = ⟨v, Σ f·y⟩ / (Σf²·‖v‖²), for all eight targets from the same few sums. For the error the latent's own part is
/// put back by Σ f⟨h - r + f·d, v⟩ = A - R + C⟨d, v⟩, which needs no reconstruction without the latent.
/// </summary>
public static class Beta
{
    /// <summary>⟨v, Σ f·y⟩.</summary>
    /// <param name="kind">Which y.</param>
    /// <param name="model">Of which model.</param>
    /// <param name="sums">[3 + 2M]: count, S, C, A by model, R by model; of a decoupled code M more (<see cref="BetaSums.TotalColumns"/>).</param>
    /// <param name="products">Of the weights.</param>
    /// <param name="latent">Which latent.</param>
    public static double Nominator(TargetKind kind, int model, ReadOnlySpan<double> sums, LatentProducts products, int latent)
    {
        int models = products.Models;
        double own = sums.Length > 3 + 2 * models ? sums[3 + 2 * models + model] : sums[2];
        double onActivation = sums[3 + model], onReconstruction = sums[3 + models + model];
        return kind switch
        {
            TargetKind.Activation => onActivation,
            TargetKind.ActivationNoBias => onActivation - sums[1] * products.OnBias(latent, model),
            TargetKind.Reconstruction => onReconstruction,
            _ => onActivation - onReconstruction + own * products.OnDecoder(latent, model),
        };
    }

    /// <summary>Beta; NaN for a latent that is never active or has no direction.</summary>
    public static double Of(TargetKind kind, int model, ReadOnlySpan<double> sums, LatentProducts products, int latent)
        => Nominator(kind, model, sums, products, latent) / (sums[2] * products.DirectionSquared(latent));

    /// <summary>nu = beta of the first model / beta of the last (spec 5.3).</summary>
    public static double Ratio(TargetKind kind, ReadOnlySpan<double> sums, LatentProducts products, int latent)
        => Of(kind, 0, sums, products, latent) / Of(kind, products.Models - 1, sums, products, latent);
}
