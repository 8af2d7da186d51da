using System.Globalization;
using Diffract.Tokens;

namespace Diffract.Evidence;

/// <summary>
/// Which behaviours a few candidate latents tell apart. A chat's score is the latent's maximum over the answer. The latent is chosen where its area under the ROC curve is largest on one
/// half of the chats, and the area is reported on the other half; the same choice under shuffled labels says what choosing alone would give.
/// </summary>
public sealed class BehaviourTracking
{
    /// <summary>Fewer positives or negatives than this in a half give no number.</summary>
    public const int SmallestHalf = 20;

    const string Refusal = "refusal", Contrast = "contrast";

    readonly IReadOnlyList<LabelledChat> _chats;
    readonly int[] _candidates;
    readonly float[][] _maxima;
    readonly int _shuffles, _resamples;
    readonly ulong _seed;

    /// <param name="chats">Chats with labels.</param>
    /// <param name="candidates">Latent indices.</param>
    /// <param name="maxima_CN">For each candidate, its maximum over the answer of each chat (scaled, 0 when silent).</param>
    /// <param name="seed">Decides halves, shuffles and resamples.</param>
    /// <param name="shuffles">Shuffles of the labels.</param>
    /// <param name="resamples">Bootstrap resamples of the reported chats.</param>
    public BehaviourTracking(IReadOnlyList<LabelledChat> chats, int[] candidates, float[][] maxima_CN, ulong seed, int shuffles = 200, int resamples = 1000)
        => (_chats, _candidates, _maxima, _seed, _shuffles, _resamples) = (chats, candidates, maxima_CN, seed, shuffles, resamples);

    /// <summary>Whether a document is in the half that is reported, else in the one on which latents are chosen.</summary>
    public static bool InReportedHalf(ulong seed, int document) => (SeededHash.Of(seed, (ulong)document) & 1) == 1;

    /// <summary>Whether a row shows tracking: the interval's lower end lies above chance and above what choosing under shuffled labels gives in 95 of 100 cases.</summary>
    public static bool Tracks(BehaviourRow row) => row.Auc is { } auc && auc.Low > Math.Max(0.5, row.ShuffledHigh ?? 0.5);

    /// <summary>One row for each group, most chats first; refusal against contrast before refusal against all. Contrast has no row of its own: it is refusal's negatives.</summary>
    public IReadOnlyList<BehaviourRow> Rows(CancellationToken stop = default)
    {
        List<BehaviourRow> rows = [];
        HashSet<string> groups = [.. _chats.SelectMany(c => c.Groups)];
        int[] everyone = [.. Enumerable.Range(0, _chats.Count)];
        Half chosenOn = Prepare(everyone, reported: false), reportedOn = Prepare(everyone, reported: true);
        foreach (string group in groups.OrderByDescending(g => _chats.Count(c => c.Groups.Contains(g))).ThenBy(g => g, StringComparer.Ordinal))
        {
            stop.ThrowIfCancellationRequested();
            if (group == Refusal && groups.Contains(Contrast))
            {
                int[] pair = [.. everyone.Where(i => _chats[i].Groups.Contains(Refusal) || _chats[i].Groups.Contains(Contrast))];
                rows.Add(Row(group, Prepare(pair, reported: false), Prepare(pair, reported: true), Contrast));
            }

            if (group != Contrast)
            {
                rows.Add(Row(group, chosenOn, reportedOn, null));
            }
        }

        return rows;
    }

    Half Prepare(int[] among, bool reported)
    {
        int[] items = [.. among.Where(i => InReportedHalf(_seed, _chats[i].Document) == reported)];
        RocArea[] areas = [.. _maxima.Select(m => new RocArea([.. items.Select(i => m[i])]))];
        return new Half(items, areas, reported && items.Length > 0 ? new ClusterBootstrap(items.Length, _resamples, _seed + 1) : null);
    }

    BehaviourRow Row(string group, Half chosenOn, Half reportedOn, string? against)
    {
        int[] select = Positives(group, chosenOn), report = Positives(group, reportedOn);
        int negatives = reportedOn.Items.Length - report.Length, selectionNegatives = chosenOn.Items.Length - select.Length;
        BehaviourRow row = new(
            group, null, null, null, null, null, select.Length, report.Length, negatives, null, against, chosenOn.Items.Length + reportedOn.Items.Length);
        if (_candidates.Length == 0)
        {
            return row with { TooFew = "no latent to track" };
        }

        if (Math.Min(select.Length, report.Length) < SmallestHalf || Math.Min(negatives, selectionNegatives) < SmallestHalf)
        {
            string why = string.Create(
                CultureInfo.InvariantCulture,
                $"too few: {select.Length} and {report.Length} positives, {selectionNegatives} and {negatives} negatives in the halves, wanted at least {SmallestHalf} each");
            return row with { TooFew = why };
        }

        int best = Best(chosenOn, select, out double onSelection);
        (double mean, double high) = Shuffled(group, against, chosenOn, reportedOn, select.Length, report.Length);
        return row with
        {
            Latent = _candidates[best],
            Auc = Interval(reportedOn, best, report),
            AucSelectionHalf = onSelection,
            ShuffledAuc = mean,
            ShuffledHigh = high,
        };
    }

    int[] Positives(string group, Half half)
        => [.. Enumerable.Range(0, half.Items.Length).Where(i => _chats[half.Items[i]].Groups.Contains(group))];

    static int Best(Half half, ReadOnlySpan<int> positives, out double area)
    {
        int best = 0;
        area = double.NegativeInfinity;
        for (int c = 0; c < half.Areas.Length; c++)
        {
            double a = half.Areas[c].Of(positives);
            if (a > area)
            {
                (best, area) = (c, a);
            }
        }

        return best;
    }

    (double Mean, double High) Shuffled(string group, string? against, Half chosenOn, Half reportedOn, int selectPositives, int reportPositives)
    {
        ulong key = group.Concat(against ?? "").Aggregate(_seed, (h, c) => SeededHash.Of(h, c));
        SeededDraws draws = new(key);
        int[] select = [.. Enumerable.Range(0, chosenOn.Items.Length)], report = [.. Enumerable.Range(0, reportedOn.Items.Length)];
        double[] areas = new double[_shuffles];
        for (int s = 0; s < _shuffles; s++)
        {
            draws.Shuffle(select.AsSpan());
            draws.Shuffle(report.AsSpan());
            int best = Best(chosenOn, select.AsSpan(0, selectPositives), out _);
            areas[s] = reportedOn.Areas[best].Of(report.AsSpan(0, reportPositives));
        }

        Array.Sort(areas);
        return (areas.Average(), ClusterBootstrap.Quantile(areas, 0.95));
    }

    static Estimate Interval(Half half, int latent, int[] positives)
    {
        bool[] positive = new bool[half.Items.Length];
        foreach (int i in positives)
        {
            positive[i] = true;
        }

        RocArea area = half.Areas[latent];
        double[] replicates = new double[half.Bootstrap!.Resamples];
        for (int r = 0; r < replicates.Length; r++)
        {
            replicates[r] = area.Of(positive, half.Bootstrap.Times(r));
        }

        return half.Bootstrap.Interval(area.Of(positives), replicates, half.Items.Length);
    }

    sealed record Half(int[] Items, RocArea[] Areas, ClusterBootstrap? Bootstrap);
}
