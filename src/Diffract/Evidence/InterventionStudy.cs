namespace Diffract.Evidence;

/// <summary>Turns what the edits did to each chat into means, shares of the gap and paired differences, with intervals by bootstrap over chats.</summary>
public static class InterventionStudy
{
    /// <summary>Four baselines, replace and add of two halves in two orders, and of the control.</summary>
    public const int MostEdits = 14;

    /// <summary>Baselines first, then replace and add of each set.</summary>
    public static IReadOnlyList<Edit> Edits(LatentSets sets)
        => [.. Edit.Baselines, .. sets.Sets.Keys.Order(StringComparer.Ordinal).SelectMany(Edit.OfSet)];

    /// <summary>The latent sets in the order in which <see cref="Edits"/> numbers them.</summary>
    public static IReadOnlyList<int[]> SetsInOrder(LatentSets sets) => [.. sets.Sets.OrderBy(p => p.Key, StringComparer.Ordinal).Select(p => p.Value)];

    /// <param name="sets">The latent sets, or why there are none.</param>
    /// <param name="edits">Of <see cref="Edits"/>.</param>
    /// <param name="chats">One a chat; the order decides nothing but the draws of the bootstrap.</param>
    /// <param name="resamples">Bootstrap resamples.</param>
    /// <param name="seed">Decides the draws.</param>
    public static InterventionResults Results(LatentSets sets, IReadOnlyList<Edit> edits, IReadOnlyList<ChatSums> chats, int resamples, ulong seed)
    {
        ClusterBootstrap bootstrap = new(chats.Count, resamples, seed);
        List<EditResult> results = [];
        List<PairedDifference> differences = [];
        Dictionary<string, int> index = edits.Select((e, i) => (e.Name, i)).ToDictionary(p => p.Name, p => p.i);
        string[] setNames = [.. sets.Sets.Keys.Order(StringComparer.Ordinal)];
        for (int s = 0; s < Subset.Names.Count; s++)
        {
            int subset = s;
            string name = Subset.Names[s];
            double[] counts = [.. chats.Select(c => (double)c.Counts[subset])], nllCounts = [.. chats.Select(c => (double)(c.NllCounts ?? c.Counts)[subset])];
            double[][] kl = [.. edits.Select((_, e) => chats.Select(c => c.Kl[e][subset]).ToArray())], nll = [.. edits.Select((_, e) => chats.Select(c => c.Nll[e][subset]).ToArray())];
            int none = index["none"];
            long n = (long)counts.Sum();
            foreach (Edit edit in edits)
            {
                int e = index[edit.Name];
                results.Add(new EditResult(
                    edit.Name, edit.Set < 0 ? "baseline" : Group(setNames[edit.Set]), name, bootstrap.Mean(kl[e], counts), bootstrap.Mean(nll[e], nllCounts),
                    e == none ? null : bootstrap.GapShare(kl[e], kl[none], n), e == none ? null : bootstrap.Difference(kl[e], kl[none], counts),
                    edit.Set < 0 ? 0 : sets.Sets[setNames[edit.Set]].Length, null));
            }

            foreach ((string a, string b) in Pairs().Where(p => index.ContainsKey(p.A) && index.ContainsKey(p.B)))
            {
                differences.Add(new PairedDifference(a, b, name, "kl", bootstrap.Difference(kl[index[a]], kl[index[b]], counts)));
                differences.Add(new PairedDifference(a, b, name, "nll", bootstrap.Difference(nll[index[a]], nll[index[b]], nllCounts)));
            }

            if (sets.TooFew is not null)
            {
                results.AddRange(TooFew(name, sets.TooFew));
            }
        }

        return new InterventionResults(
            chats.Count, chats.Sum(c => (long)c.Counts[0]), sets.PoolSize, sets.PoolAfterFilter, results, new Dictionary<string, int[]>(sets.Sets), Notes(sets, chats.Count), differences);
    }

    static string Group(string set) => set == "control" ? set : set[(set.IndexOf('_', StringComparison.Ordinal) + 1)..];

    // The control has the firing rates of the best half by scaling, so only that half is compared with it.
    static IEnumerable<(string A, string B)> Pairs()
        => from form in new[] { "replace", "add" }
           from pair in new[] { ("best_norm", "worst_norm"), ("best_scaling", "worst_scaling"), ("best_scaling", "control") }
           select ($"{form}_{pair.Item1}", $"{form}_{pair.Item2}");

    static IEnumerable<EditResult> TooFew(string subset, string why)
    {
        Estimate nothing = new(double.NaN, double.NaN, double.NaN, 0);
        return from order in new[] { "norm", "scaling" }
               from half in new[] { "best", "worst" }
               from form in new[] { "replace", "add" }
               select new EditResult($"{form}_{half}_{order}", order, subset, nothing, nothing, null, null, 0, why);
    }

    static string[] Notes(LatentSets sets, int chats)
        => [.. sets.Notes, .. sets.TooFew is null ? (string[])[] : [sets.TooFew], .. chats < 2 ? (string[])["one conversation alone gives no intervals"] : []];
}
