namespace Diffract.Evidence;

/// <summary>Ranks from 1, equal values sharing their average rank.</summary>
public sealed class AverageRanks
{
    /// <param name="values">No NaN among them.</param>
    public AverageRanks(ReadOnlySpan<double> values)
    {
        double[] sorted = [.. values];
        int[] order = [.. Enumerable.Range(0, values.Length)];
        Array.Sort(sorted, order);
        double[] ranks = new double[values.Length];
        List<int> ends = [];
        for (int start = 0, end; start < sorted.Length; start = end)
        {
            end = start + 1;
            while (end < sorted.Length && sorted[end] == sorted[start])
            {
                end++;
            }

            ends.Add(end);
            for (int i = start; i < end; i++)
            {
                ranks[order[i]] = (start + 1 + end) / 2.0;
            }
        }

        (Ranks, Order, GroupEnds) = (ranks, order, ends);
    }

    /// <summary>One a value.</summary>
    public double[] Ranks { get; }

    /// <summary>Indices of the values, smallest first; the order among equal ones means nothing.</summary>
    public IReadOnlyList<int> Order { get; }

    /// <summary>Where each group of equal values ends in <see cref="Order"/>.</summary>
    public IReadOnlyList<int> GroupEnds { get; }
}
