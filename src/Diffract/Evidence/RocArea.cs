namespace Diffract.Evidence;

/// <summary>Area under the ROC curve: the probability that a positive's value is above a negative's, ties counted half.</summary>
public sealed class RocArea
{
    readonly int[] _order, _groupEnd;

    /// <param name="values">One value an item; all areas of this object are over these items.</param>
    public RocArea(float[] values)
    {
        AverageRanks ranks = new(Array.ConvertAll(values, v => (double)v));
        (Ranks, _order, _groupEnd) = (ranks.Ranks, [.. ranks.Order], [.. ranks.GroupEnds]);
    }

    /// <summary>Average ranks of the items.</summary>
    public double[] Ranks { get; }

    /// <summary>The area when the items <paramref name="positives"/> (distinct) are positive and all others negative; NaN when either is empty.</summary>
    public double Of(ReadOnlySpan<int> positives)
    {
        double ranks = 0;
        foreach (int i in positives)
        {
            ranks += Ranks[i];
        }

        double p = positives.Length, n = Ranks.Length - p;
        return p == 0 || n == 0 ? double.NaN : (ranks - (p * (p + 1) / 2)) / (p * n);
    }

    /// <summary>The area when item i counts <paramref name="times"/>[i] times.</summary>
    public double Of(ReadOnlySpan<bool> positive, ReadOnlySpan<ushort> times)
    {
        double below = 0, area = 0, positives = 0;
        int at = 0;
        foreach (int end in _groupEnd)
        {
            double groupPositives = 0, groupNegatives = 0;
            for (; at < end; at++)
            {
                int i = _order[at];
                if (positive[i])
                {
                    groupPositives += times[i];
                }
                else
                {
                    groupNegatives += times[i];
                }
            }

            area += groupPositives * (below + (groupNegatives / 2));
            below += groupNegatives;
            positives += groupPositives;
        }

        return area / (positives * below);
    }
}
