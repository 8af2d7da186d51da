namespace Diffract.Planted;

/// <summary>A range of firing rates that claims are counted in.</summary>
/// <param name="Name">As tables call it.</param>
/// <param name="From">Smallest rate.</param>
/// <param name="Below">Rates are below this.</param>
public sealed record RateBin(string Name, double From, double Below)
{
    /// <summary>From this rate on a rule is expected to be right.</summary>
    public const double Frequent = 0.005;

    public static RateBin Everything { get; } = new("all", 0, double.PositiveInfinity);

    /// <summary>Latents that fire in half a percent of the tokens at least.</summary>
    public static RateBin Often { get; } = new(">= 0.5%", Frequent, double.PositiveInfinity);

    public static IReadOnlyList<RateBin> All { get; } =
        [Everything, Often, new("< 0.5%", 0, Frequent), new("0.5-1%", Frequent, 0.01), new("1-2%", 0.01, 0.02), new(">= 2%", 0.02, double.PositiveInfinity)];

    public bool Holds(double rate) => rate >= From && rate < Below;
}
