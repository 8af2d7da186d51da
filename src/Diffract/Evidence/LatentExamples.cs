namespace Diffract.Evidence;

/// <summary>Where one latent fires.</summary>
/// <param name="Latent">Its index.</param>
/// <param name="Top">The documents with the largest maxima, largest first.</param>
/// <param name="Quantiles">By bin of document maximum relative to the latent's maximum, (0, .25], (.25, .5], (.5, .75], (.75, .95], (.95, 1]: a seeded sample, largest first.</param>
public sealed record LatentExamples(int Latent, IReadOnlyList<TokenExample> Top, IReadOnlyList<IReadOnlyList<TokenExample>> Quantiles)
{
    /// <summary>Upper edges of the bins of <see cref="Quantiles"/> (spec 6.3).</summary>
    public static IReadOnlyList<double> QuantileEdges { get; } = [0.25, 0.5, 0.75, 0.95, 1.0];
}
