namespace Diffract.Activations;

/// <summary>
/// Count, mean and summed squares about the mean of each column, in double (spec 1.8: Welford by row, merged as Chan et al. do), and what rounding took. Rows are added in their order, so the result
/// does not depend on how they came together.
/// </summary>
sealed class RunningMoments(int columns)
{
    public long Count { get; private set; }

    public double[] Mean { get; } = new double[columns];

    public double[] Squares { get; } = new double[columns];

    /// <summary>Summed squares of what the store's rounding took from each value.</summary>
    public double[] Lost { get; } = new double[columns];

    /// <summary>Unbiased variance of each column.</summary>
    public double[] Variance() => Array.ConvertAll(Squares, s => s / (Count - 1));

    /// <summary>Moments read back from a file.</summary>
    public static RunningMoments Of(long count, double[] mean, double[] squares, double[] lost)
    {
        RunningMoments moments = new(mean.Length) { Count = count };
        mean.CopyTo(moments.Mean, 0);
        squares.CopyTo(moments.Squares, 0);
        lost.CopyTo(moments.Lost, 0);
        return moments;
    }

    public void Clear()
    {
        Count = 0;
        Array.Clear(Mean);
        Array.Clear(Squares);
        Array.Clear(Lost);
    }

    /// <summary>Says that <paramref name="rows"/> rows have been added to every column.</summary>
    public void Advance(int rows) => Count += rows;

    /// <summary>
    /// Adds one row's values of the columns from <paramref name="first"/> on, as row number <paramref name="number"/> (from 1). Columns are independent of each other, so several threads may each
    /// add theirs; <see cref="Advance"/> follows.
    /// </summary>
    public void Add(ReadOnlySpan<float> values, int first, long number)
    {
        Span<double> mean = Mean.AsSpan(first, values.Length), squares = Squares.AsSpan(first, values.Length);
        double share = 1.0 / number;
        for (int i = 0; i < values.Length; i++)
        {
            double off = values[i] - mean[i];
            mean[i] += off * share;
            squares[i] += off * (values[i] - mean[i]);
        }
    }

    /// <summary>The share of the variance of some columns that the stored values keep: 1 - Σ|x - stored|² / Σ|x - mean|².</summary>
    public double Kept(int firstColumn, int count)
    {
        double lost = 0, squares = 0;
        for (int i = firstColumn; i < firstColumn + count; i++)
        {
            lost += Lost[i];
            squares += Squares[i];
        }

        return lost == 0 ? 1 : squares == 0 ? 0 : 1 - lost / squares;
    }

    public void Merge(RunningMoments other)
    {
        if (other.Count == 0)
        {
            return;
        }

        double total = Count + other.Count;
        for (int i = 0; i < Mean.Length; i++)
        {
            double off = other.Mean[i] - Mean[i];
            Mean[i] += off * other.Count / total;
            Squares[i] += other.Squares[i] + (off * off * Count * other.Count / total);
            Lost[i] += other.Lost[i];
        }

        Count += other.Count;
    }
}
