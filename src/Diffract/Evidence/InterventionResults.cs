namespace Diffract.Evidence;

/// <summary><c>interventions.json</c>: the edits of spec 7.3 on held-out chats.</summary>
/// <param name="Conversations">Chats used.</param>
/// <param name="Positions">Positions of the subset "all" over these chats.</param>
/// <param name="PoolSize">Latents with the highest Delta-norm taken as the pool: ceil(4.3% of all).</param>
/// <param name="PoolAfterFilter">Those left with both ratios within [-0.1, 2] (spec 7.4).</param>
/// <param name="Edits">One row for each edit and subset.</param>
/// <param name="LatentSets">Latent indices of each set: best_norm, worst_norm, best_scaling, worst_scaling, control (shared latents with the firing rates of best_scaling).</param>
/// <param name="Notes">What a reader has to know: what was left out and why.</param>
/// <param name="Differences">Best against worst, and best against control, by order and form of the edit.</param>
public sealed record InterventionResults(
    int Conversations, long Positions, int PoolSize, int PoolAfterFilter, IReadOnlyList<EditResult> Edits,
    IReadOnlyDictionary<string, int[]> LatentSets, IReadOnlyList<string> Notes, IReadOnlyList<PairedDifference> Differences);
