using System.Text.Json.Nodes;
using Diffract.Latents;

namespace Diffract.Evidence;

/// <summary>
/// What a latent table says about its ratios (spec 5.6): histograms by class, correlation with firing frequency, latents against threshold, rank curves. Latents without a number are left out of each part and counted.
/// A part whose columns the table lacks is left out, and <c>missing</c> says which column it wants.
/// </summary>
public sealed class TableAnalyses
{
    const int Bins = 100, OverlayBins = 50, LowestRatios = 100;

    /// <summary>Reconstruction betas beyond it are taken as it.</summary>
    const double BetaClip = 100;

    static readonly string[] Ratios = ["error", "reconstruction"];

    readonly FeatureTable _table;
    readonly JsonObject _missing = [];

    public TableAnalyses(FeatureTable table) => _table = table;

    /// <summary>All parts.</summary>
    /// <param name="chosen">The latents that ratios are looked at of; null: those that are tagged chat-only.</param>
    public JsonObject ToJson(int[]? chosen)
    {
        JsonObject json = [];
        Part(json, "histograms", ["tag"], Histograms);
        int[] latents = chosen ?? (_table.Has("tag") ? [.. Enumerable.Range(0, _table.Latents).Where(j => LatentClasses.Parse(_table.Text("tag")[j]) == LatentClass.ChatOnly)] : [.. Enumerable.Range(0, _table.Latents)]);
        json["latents"] = latents.Length;
        json["few"] = latents.Length < IndexSets.Few;
        Part(json, "ratios", ["beta_ratio_error", "beta_ratio_reconstruction"], () => RatioParts(latents));
        string frequency = _table.Has("freq") ? "freq" : "freq_val";
        Part(json, "frequency", ["beta_ratio_error", "beta_ratio_reconstruction", frequency], () => Correlations(latents, frequency));
        Part(json, "rankCurves", ["beta_ratio_error", "beta_ratio_reconstruction", "dec_norm_diff"], () => RankCurves(latents));
        Part(json, "templateOverlay", ["beta_ratio_error", "beta_ratio_reconstruction", "lmsys_ctrl_%"], () => Overlay(latents));
        json["missing"] = _missing;
        return json;
    }

    /// <summary>Equal bins over a range; values outside and NaN are left out.</summary>
    public static JsonObject Histogram(IEnumerable<double> values, int bins, double low, double high)
    {
        long[] counts = new long[bins];
        foreach (double value in values)
        {
            // As numpy has it: the last bin holds its upper end.
            if (value >= low && value <= high)
            {
                counts[Math.Min(bins - 1, (int)((value - low) / (high - low) * bins))]++;
            }
        }

        return new JsonObject { ["low"] = low, ["high"] = high, ["counts"] = new JsonArray([.. counts.Select(c => (JsonNode)c)]) };
    }

    /// <summary>Pearson's correlation over the pairs of which both are numbers; NaN for fewer than two, or where one does not vary.</summary>
    public static (double R, int N) Pearson(IReadOnlyList<double> a, IReadOnlyList<double> b)
    {
        int[] both = [.. Enumerable.Range(0, a.Count).Where(i => double.IsFinite(a[i]) && double.IsFinite(b[i]))];
        if (both.Length < 2)
        {
            return (double.NaN, both.Length);
        }

        double meanA = both.Average(i => a[i]), meanB = both.Average(i => b[i]);
        double ab = both.Sum(i => (a[i] - meanA) * (b[i] - meanB)), aa = both.Sum(i => (a[i] - meanA) * (a[i] - meanA)), bb = both.Sum(i => (b[i] - meanB) * (b[i] - meanB));
        return (aa == 0 || bb == 0 ? double.NaN : ab / Math.Sqrt(aa * bb), both.Length);
    }

    void Part(JsonObject json, string name, string[] wanted, Func<JsonNode> make)
    {
        string[] lacking = [.. wanted.Where(c => !_table.Has(c))];
        if (lacking.Length == 0)
        {
            json[name] = make();
        }
        else
        {
            _missing[name] = new JsonArray([.. lacking.Select(c => (JsonNode)c)]);
        }
    }

    /// <summary>Norm difference, cosines and frequency by class.</summary>
    JsonObject Histograms()
    {
        JsonObject all = [];
        LatentClass[] classes = [.. _table.Text("tag").Select(t => LatentClasses.Parse(t) ?? LatentClass.Other)];
        (string Column, double Low, double High, Func<double, double> Of)[] wanted =
        [
            ("dec_norm_diff", 0, 1, v => v), ("delta_norm", 0, 1, v => v), ("enc_norm_diff", 0, 1, v => v), ("dec_cos_sim", -1, 1, v => v), ("enc_cos_sim", -1, 1, v => v),
            ("freq_val", -7, 0, Math.Log10), ("freq", -7, 0, Math.Log10), ("lmsys_freq", -7, 0, Math.Log10),
        ];
        foreach ((string column, double low, double high, Func<double, double> of) in wanted.Where(w => _table.Has(w.Column)))
        {
            double[] values = [.. _table.Numbers(column).Select(of)];
            JsonObject byClass = [];
            foreach (LatentClass c in Enum.GetValues<LatentClass>())
            {
                byClass[LatentClasses.Tag(c)] = Histogram(values.Where((_, j) => classes[j] == c), Bins, low, high);
            }

            byClass["log10"] = high == 0;
            byClass["without"] = values.Count(v => !double.IsFinite(v));
            all[column] = byClass;
        }

        return all;
    }

    JsonObject RatioParts(int[] latents)
    {
        double[] error = Of("beta_ratio_error", latents), reconstruction = Of("beta_ratio_reconstruction", latents);
        bool[] shown = [.. error.Zip(reconstruction, (e, r) => e is > 0 and < 1.1 && r is > 0 and < 1.1)];
        JsonObject json = new()
        {
            ["withoutNumber"] = Enumerable.Range(0, latents.Length).Count(i => double.IsNaN(error[i]) || double.IsNaN(reconstruction[i])),
            ["scatter"] = new JsonArray([.. Enumerable.Range(0, latents.Length).Where(i => shown[i]).Select(i => (JsonNode)new JsonArray(latents[i], error[i], reconstruction[i]))]),
            ["scatterError"] = Histogram(error.Where((_, i) => shown[i]), Bins, 0, 1.1),
            ["scatterReconstruction"] = Histogram(reconstruction.Where((_, i) => shown[i]), Bins, 0, 1.1),
        };
        double[] thresholds = [.. Enumerable.Range(0, 100).Select(i => i / 99.0)];
        json["thresholds"] = new JsonArray([.. thresholds.Select(t => (JsonNode)t)]);
        json["belowThreshold"] = new JsonArray([.. thresholds.Select(t => (JsonNode)Enumerable.Range(0, latents.Length).Count(i => Math.Abs(error[i]) < t && Math.Abs(reconstruction[i]) < t))]);
        foreach (string kind in Ratios)
        {
            if (_table.Has($"beta_{kind}_base") && _table.Has($"beta_{kind}_chat"))
            {
                double[] ofBase = Of($"beta_{kind}_base", latents), ofChat = Of($"beta_{kind}_chat", latents), ratio = Of($"beta_ratio_{kind}", latents);
                double[] kept = [.. ratio.Where((v, i) => !(ofBase[i] < 0) && double.IsFinite(v))];
                json[kind + "Ratio"] = kept.Length == 0 ? null : Histogram(kept, Bins, kept.Min(), Math.Max(kept.Max(), Math.BitIncrement(kept.Min())));
                json[kind + "BetaBase"] = Histogram(ofBase.Select(Clip), Bins, -BetaClip, BetaClip);
                json[kind + "BetaChat"] = Histogram(ofChat.Select(Clip), Bins, -BetaClip, BetaClip);
            }
        }

        return json;

        static double Clip(double beta) => Math.Clamp(beta, -BetaClip, BetaClip);
    }

    JsonObject Correlations(int[] latents, string frequency)
    {
        JsonObject json = new() { ["column"] = frequency };
        foreach (string kind in Ratios)
        {
            (double r, int n) = Pearson(Of($"beta_ratio_{kind}", latents), Of(frequency, latents));
            json[kind] = new JsonObject { ["pearson"] = r, ["n"] = n };
        }

        return json;
    }

    /// <summary>Ranks by norm difference, ties sharing their average; of the latents with the lowest ratios their ranks, ascending: the i-th is where i + 1 of them are reached.</summary>
    JsonObject RankCurves(int[] latents)
    {
        double[] diff = _table.Numbers("dec_norm_diff");
        int[] ranked = [.. latents.Where(j => !double.IsNaN(diff[j]))];
        double[] ranks = new AverageRanks(Of("dec_norm_diff", ranked)).Ranks;
        JsonObject json = new() { ["latents"] = ranked.Length };
        foreach (string kind in Ratios)
        {
            double[] ratio = Of($"beta_ratio_{kind}", ranked);
            json[kind] = new JsonArray([.. Enumerable.Range(0, ranked.Length).Where(i => !double.IsNaN(ratio[i])).OrderBy(i => ratio[i]).ThenBy(i => ranked[i]).Take(LowestRatios).Select(i => ranks[i]).Order().Select(r => (JsonNode)r)]);
        }

        return json;
    }

    JsonObject Overlay(int[] latents)
    {
        double[] share = Of("lmsys_ctrl_%", latents);
        JsonObject json = new() { ["latents"] = share.Count(s => s > 0.5) };
        foreach (string kind in Ratios)
        {
            double[] ratio = Of($"beta_ratio_{kind}", latents);
            json[kind] = Histogram(ratio.Where((_, i) => share[i] > 0.5), OverlayBins, -0.1, 1.1);
            json[kind + "All"] = Histogram(ratio, OverlayBins, -0.1, 1.1);
        }

        return json;
    }

    double[] Of(string column, int[] latents)
    {
        double[] all = _table.Numbers(column);
        return [.. latents.Select(j => all[j])];
    }
}
