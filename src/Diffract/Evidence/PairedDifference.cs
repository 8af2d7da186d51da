namespace Diffract.Evidence;

/// <summary>Metric of edit A minus metric of edit B over the same positions, resampled together.</summary>
/// <param name="EditA">First edit.</param>
/// <param name="EditB">Second edit.</param>
/// <param name="Subset">all, k_first or post_k_first.</param>
/// <param name="Metric">kl or nll.</param>
/// <param name="Difference">A - B in nats a position; interval by bootstrap over conversations.</param>
public sealed record PairedDifference(string EditA, string EditB, string Subset, string Metric, Estimate Difference);
