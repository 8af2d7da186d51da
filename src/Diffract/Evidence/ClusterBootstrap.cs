using Diffract.Tokens;

namespace Diffract.Evidence;

/// <summary>
/// Percentile bootstrap over whole clusters (conversations, chats): positions of one conversation are not independent, so conversations are what is drawn again.
/// One object draws once; everything that it estimates is resampled together, so differences are paired.
/// </summary>
public sealed class ClusterBootstrap
{
    readonly ushort[] _times;

    /// <param name="clusters">Number of clusters.</param>
    /// <param name="resamples">Resamples.</param>
    /// <param name="seed">Decides the draws, with the two numbers above.</param>
    public ClusterBootstrap(int clusters, int resamples, ulong seed)
    {
        (Clusters, Resamples) = (clusters, resamples);
        _times = new ushort[(long)clusters * resamples];
        for (int r = 0; r < resamples; r++)
        {
            SeededDraws draws = new(SeededHash.Of(seed, (ulong)r));
            Span<ushort> times = _times.AsSpan(r * clusters, clusters);
            for (int i = 0; i < clusters; i++)
            {
                times[draws.Below(clusters)]++;
            }
        }
    }

    public int Clusters { get; }

    public int Resamples { get; }

    /// <summary>How often resample <paramref name="resample"/> drew each cluster.</summary>
    public ReadOnlySpan<ushort> Times(int resample) => _times.AsSpan(resample * Clusters, Clusters);

    /// <summary>Σ sums / Σ counts.</summary>
    public Estimate Mean(double[] sums, double[] counts)
        => Of((totals, _) => totals[0] / totals[1], (long)counts.Sum(), sums, counts);

    /// <summary>(Σ a - Σ b) / Σ counts.</summary>
    public Estimate Difference(double[] a, double[] b, double[] counts)
        => Of((totals, _) => (totals[0] - totals[1]) / totals[2], (long)counts.Sum(), a, b, counts);

    /// <summary>1 - Σ edit / Σ none.</summary>
    public Estimate GapShare(double[] edit, double[] none, long n)
        => Of((totals, _) => 1 - (totals[0] / totals[1]), n, edit, none);

    /// <summary>Any function of weighted totals of columns, each with one number a cluster.</summary>
    public Estimate Of(Func<double[], int, double> statistic, long n, params double[][] columns)
    {
        double[] totals = new double[columns.Length];
        for (int c = 0; c < columns.Length; c++)
        {
            totals[c] = columns[c].Sum();
        }

        double value = statistic(totals, -1);
        double[] replicates = new double[Resamples];
        for (int r = 0; r < Resamples; r++)
        {
            ReadOnlySpan<ushort> times = Times(r);
            for (int c = 0; c < columns.Length; c++)
            {
                double total = 0;
                double[] column = columns[c];
                for (int i = 0; i < times.Length; i++)
                {
                    total += times[i] * column[i];
                }

                totals[c] = total;
            }

            replicates[r] = statistic(totals, r);
        }

        return Interval(value, replicates, n);
    }

    /// <summary>The estimate with the 2.5th and 97.5th percentile of its replicates; NaN ends below two clusters. Undefined replicates are left out.</summary>
    public Estimate Interval(double value, double[] replicates, long n)
    {
        double[] sorted = [.. replicates.Where(double.IsFinite).Order()];
        return Clusters < 2 || sorted.Length == 0
            ? new Estimate(value, double.NaN, double.NaN, n)
            : new Estimate(value, Quantile(sorted, 0.025), Quantile(sorted, 0.975), n);
    }

    /// <summary>Linear interpolation between order statistics.</summary>
    public static double Quantile(ReadOnlySpan<double> sorted, double q)
    {
        if (sorted.IsEmpty)
        {
            return double.NaN;
        }

        double at = q * (sorted.Length - 1);
        int below = (int)at;
        return below + 1 < sorted.Length ? sorted[below] + ((at - below) * (sorted[below + 1] - sorted[below])) : sorted[below];
    }
}
