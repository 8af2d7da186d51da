using System.Globalization;

namespace Diffract.Evidence;

/// <summary>The latent sets of the interventions (spec 7.4).</summary>
public sealed class LatentSets
{
    /// <summary>The paper's pool as a share of the dictionary: 3,176 of 73,728.</summary>
    public const double PoolShare = 0.043;

    /// <summary>A pool smaller than this, after filtering, says nothing.</summary>
    public const int SmallestPool = 20;

    /// <summary>Ratios outside this range are left out.</summary>
    public const double LowestNu = -0.1, HighestNu = 2;

    LatentSets(int poolSize, int afterFilter, string? tooFew, Dictionary<string, int[]> sets, List<string> notes)
        => (PoolSize, PoolAfterFilter, TooFew, Sets, Notes) = (poolSize, afterFilter, tooFew, sets, notes);

    public int PoolSize { get; }

    public int PoolAfterFilter { get; }

    /// <summary>Why there are no sets, else null.</summary>
    public string? TooFew { get; }

    /// <summary>best_norm, worst_norm, best_scaling, worst_scaling, and control where enough shared latents are there.</summary>
    public IReadOnlyDictionary<string, int[]> Sets { get; }

    public IReadOnlyList<string> Notes { get; }

    /// <summary>
    /// Pool: the ceil(4.3%) latents with the highest Delta-norm. Filter: both ratios within [-0.1, 2]. Best = most chat-specific: by norm the highest Delta-norm, by scaling the smallest
    /// sum of the average ranks of the two ratios; equal ones by index. m = n/2 rounded down; best the first m, worst the last m. Control: for each latent of the best half by scaling, in seeded
    /// order, the shared latent outside the pool with the nearest firing rate that is not taken yet.
    /// </summary>
    public static LatentSets Choose(IReadOnlyList<PoolLatent> latents, ulong seed)
    {
        int size = (int)Math.Ceiling(PoolShare * latents.Count);
        PoolLatent[] pool = [.. latents.Where(l => !double.IsNaN(l.DeltaNorm)).OrderByDescending(l => l.DeltaNorm).ThenBy(l => l.Latent).Take(size)];
        PoolLatent[] kept = [.. pool.Where(l => Within(l.NuError) && Within(l.NuReconstruction)).OrderBy(l => l.Latent)];
        Dictionary<string, int[]> sets = [];
        List<string> notes = [];
        if (kept.Length < SmallestPool)
        {
            string why = string.Create(
                CultureInfo.InvariantCulture,
                $"too few: {kept.Length} of the {pool.Length} latents with the highest Delta-norm have both ratios within [-0.1, 2], wanted at least {SmallestPool}");
            return new LatentSets(pool.Length, kept.Length, why, sets, notes);
        }

        Halve("norm", [.. kept.OrderByDescending(l => l.DeltaNorm)], sets);
        double[] error = new AverageRanks([.. kept.Select(l => l.NuError)]).Ranks, reconstruction = new AverageRanks([.. kept.Select(l => l.NuReconstruction)]).Ranks;
        int[] order = [.. Enumerable.Range(0, kept.Length).OrderBy(i => error[i] + reconstruction[i])];
        Halve("scaling", [.. order.Select(i => kept[i])], sets);
        HashSet<int> inPool = [.. pool.Select(l => l.Latent)];
        PoolLatent[] shared = [.. latents.Where(l => l.Shared && !inPool.Contains(l.Latent)).OrderBy(l => l.Rate).ThenBy(l => l.Latent)];
        Dictionary<int, double> rates = kept.ToDictionary(l => l.Latent, l => l.Rate);
        int[] best = sets["best_scaling"];
        if (shared.Length < best.Length)
        {
            notes.Add(string.Create(CultureInfo.InvariantCulture, $"no matched control: {shared.Length} shared latents, wanted {best.Length}"));
        }
        else
        {
            sets["control"] = Matched(best, rates, shared, seed);
        }

        return new LatentSets(pool.Length, kept.Length, null, sets, notes);
    }

    static bool Within(double nu) => nu is >= LowestNu and <= HighestNu;

    static void Halve(string name, PoolLatent[] order, Dictionary<string, int[]> sets)
    {
        int m = order.Length / 2;
        sets["best_" + name] = [.. order[..m].Select(l => l.Latent)];
        sets["worst_" + name] = [.. order[^m..].Select(l => l.Latent)];
    }

    static int[] Matched(int[] best, Dictionary<int, double> rates, PoolLatent[] byRate, ulong seed)
    {
        int[] turn = [.. best];
        new SeededDraws(seed).Shuffle(turn.AsSpan());
        double[] sorted = [.. byRate.Select(l => l.Rate)];
        bool[] taken = new bool[byRate.Length];
        List<int> control = [];
        foreach (int latent in turn)
        {
            double rate = rates[latent];
            int at = Array.BinarySearch(sorted, rate);
            int right = at >= 0 ? at : ~at, left = right - 1;
            while (left >= 0 && taken[left])
            {
                left--;
            }

            while (right < sorted.Length && taken[right])
            {
                right++;
            }

            bool goLeft = right >= sorted.Length || (left >= 0 && rate - sorted[left] <= sorted[right] - rate);
            int chosen = goLeft ? left : right;
            taken[chosen] = true;
            control.Add(byRate[chosen].Latent);
        }

        return [.. control.Order()];
    }
}
