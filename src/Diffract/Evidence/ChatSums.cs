namespace Diffract.Evidence;

/// <summary>What each edit did to one chat, summed over the positions of each subset (in the order of <see cref="Subset.Names"/>).</summary>
/// <param name="Document">The chat.</param>
/// <param name="Counts">Positions of each subset.</param>
/// <param name="Kl">For each edit and subset, Σ KL.</param>
/// <param name="Nll">For each edit and subset, Σ NLL.</param>
public sealed record ChatSums(int Document, int[] Counts, double[][] Kl, double[][] Nll)
{
    /// <summary>Positions of each subset that have an NLL: those before a token that both models can predict; null: all.</summary>
    public int[]? NllCounts { get; init; }

    public static ChatSums Of(ChatEffects effects)
    {
        bool[][] subsets = [.. Subset.Names.Select(s => Subset.Of(s, effects.Chat.Masks))];
        int[] counts = [.. subsets.Select(s => effects.Positions.Count(t => s[t]))];
        int[] nllCounts = effects.Nll.Length == 0 ? counts : [.. subsets.Select(s => effects.Positions.Index().Count(p => s[p.Item] && !double.IsNaN(effects.Nll[0][p.Index])))];
        return new ChatSums(effects.Chat.Key, counts, [.. effects.Kl.Select(Sums)], [.. effects.Nll.Select(Sums)]) { NllCounts = nllCounts.AsSpan().SequenceEqual(counts) ? null : nllCounts };

        double[] Sums(double[] values) => [.. subsets.Select(s => Sum(values, effects.Positions, s))];
    }

    static double Sum(double[] values, int[] positions, bool[] subset)
    {
        double sum = 0;
        for (int i = 0; i < values.Length; i++)
        {
            sum += subset[positions[i]] && !double.IsNaN(values[i]) ? values[i] : 0;
        }

        return sum;
    }
}
