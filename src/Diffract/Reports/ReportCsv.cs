using System.Globalization;
using System.Text;
using Diffract.Evidence;

namespace Diffract.Reports;

/// <summary>One CSV a table: comma, header row, "." as decimal point, empty = not known; text quoted where it must be.</summary>
public static class ReportCsv
{
    /// <summary>File name and text of every table of <paramref name="report"/>; latents in full, one file a crosscoder.</summary>
    public static IEnumerable<(string File, string Text)> Write(RunReport report)
    {
        yield return ("crosscoders.csv", Crosscoders(report));
        yield return ("verdicts.csv", Verdicts(report));
        yield return ("interventions.csv", Interventions(report));
        yield return ("differences.csv", Differences(report));
        yield return ("behaviours.csv", Behaviours(report));
        yield return ("training.csv", Training(report));
        foreach (ReportCrosscoder c in report.Crosscoders)
        {
            yield return ($"latents_{c.Name}.csv", Latents(c));
        }
    }

    static string Crosscoders(RunReport report)
    {
        Table table = new([
            "name", "kind", "loaded", "latents", "k", "mu", "steps", "batch", "learning_rate", "seed", "l0", "dead_share", "fve_pooled", "fve_mean_of_batches",
            .. report.Comparison.Models.Select(m => "fve_" + m.Name), "threshold", "validation_tokens"]);
        foreach (ReportCrosscoder c in report.Crosscoders)
        {
            ReportSetup s = c.Settings;
            table.Add([
                c.Name, s.Kind, s.Loaded, s.Latents, s.K, s.Mu, s.Steps, s.Batch, s.LearningRate, s.Seed, s.L0, s.DeadShare, s.FvePooled, s.FveMeanOfBatches,
                .. report.Comparison.Models.Select((_, m) => (object?)(m < s.FveByModel.Count ? s.FveByModel[m] : null)), s.Threshold, s.ValidationTokens]);
        }

        return table.ToString();
    }

    static string Verdicts(RunReport report)
    {
        Table table = new(["crosscoder", "latents", "chat_only", "base_only", "shared", "other", "chat_specific", "complete_shrinkage", "decoupling", "both", "undecided", "tokens"]);
        foreach (ReportCrosscoder c in report.Crosscoders)
        {
            ClassCounts? n = c.Norms?.All;
            VerdictCounts? v = c.Scaling?.Verdicts;
            table.Add([c.Name, n?.Total, n?.ChatOnly, n?.BaseOnly, n?.Shared, n?.Other, v?.ChatSpecific, v?.CompleteShrinkage, v?.Decoupling, v?.Both, v?.Undecided, c.Scaling?.Tokens]);
        }

        return table.ToString();
    }

    static string Interventions(RunReport report)
    {
        Table table = new([
            "crosscoder", "edit", "group", "subset", "latents", "positions", "kl", "kl_low", "kl_high", "nll", "nll_low", "nll_high",
            "gap_share", "gap_share_low", "gap_share_high", "difference_from_none", "difference_low", "difference_high", "too_few"]);
        foreach (ReportCrosscoder c in report.Crosscoders)
        {
            foreach (EditResult e in c.Effects?.Edits ?? [])
            {
                table.Add([
                    c.Name, e.Edit, e.Group, e.Subset, e.Latents, e.Kl.N, .. Three(e.Kl), .. Three(e.Nll), .. Three(e.GapShare), .. Three(e.DifferenceFromNone), e.TooFew]);
            }
        }

        return table.ToString();
    }

    static string Differences(RunReport report)
    {
        Table table = new(["crosscoder", "edit_a", "edit_b", "subset", "metric", "difference", "low", "high", "n"]);
        foreach (ReportCrosscoder c in report.Crosscoders)
        {
            foreach (PairedDifference d in c.Effects?.Differences ?? [])
            {
                table.Add([c.Name, d.EditA, d.EditB, d.Subset, d.Metric, .. Three(d.Difference), d.Difference.N]);
            }
        }

        return table.ToString();
    }

    static string Behaviours(RunReport report)
    {
        Table table = new([
            "crosscoder", "group", "against", "latent", "survivor", "delta_norm", "auc", "auc_low", "auc_high", "auc_selection_half", "shuffled_auc", "shuffled_high",
            "positives_selection", "positives_report", "negatives", "chats", "too_few"]);
        foreach (ReportCrosscoder c in report.Crosscoders)
        {
            foreach (BehaviourRow r in c.Behaviours?.Rows ?? [])
            {
                table.Add([
                    c.Name, r.Group, r.Against, r.Latent, r.Survivor, r.DeltaNorm, .. Three(r.Auc), r.AucSelectionHalf, r.ShuffledAuc, r.ShuffledHigh,
                    r.PositivesSelection, r.PositivesReport, r.Negatives, r.Chats, r.TooFew]);
            }
        }

        return table.ToString();
    }

    static string Training(RunReport report)
    {
        Table table = new(["crosscoder", "series", "step", "value"]);
        foreach (ReportCrosscoder c in report.Crosscoders)
        {
            foreach (ReportSeries s in c.Training ?? [])
            {
                for (int i = 0; i < s.Steps.Count; i++)
                {
                    table.Add([c.Name, s.Name, s.Steps[i], s.Values[i]]);
                }
            }
        }

        return table.ToString();
    }

    static string Latents(ReportCrosscoder c)
    {
        Table table = new([.. LatentColumn.All.Select(l => l.Name)]);
        foreach (ReportLatent latent in c.Latents)
        {
            table.Add([.. LatentColumn.All.Select(l => l.Value(latent))]);
        }

        return table.ToString();
    }

    static object?[] Three(Estimate? e) => e is null ? [null, null, null] : [e.Value, e.Low, e.High];

    sealed class Table
    {
        readonly StringBuilder _text = new();
        readonly int _columns;

        public Table(IReadOnlyList<string> header)
        {
            _columns = header.Count;
            _text.AppendJoin(',', header).Append('\n');
        }

        public void Add(IReadOnlyList<object?> row)
        {
            if (row.Count != _columns)
            {
                throw new InvalidOperationException($"a row of {row.Count} values in a table of {_columns} columns");
            }

            _text.AppendJoin(',', row.Select(Cell)).Append('\n');
        }

        public override string ToString() => _text.ToString();

        static string Cell(object? value) => value switch
        {
            null => "",
            bool b => b ? "True" : "False",
            double d => double.IsFinite(d) ? d.ToString("R", CultureInfo.InvariantCulture) : "",
            IFormattable f => f.ToString(null, CultureInfo.InvariantCulture),
            string s => s.AsSpan().IndexOfAny(",\"\r\n") >= 0 ? "\"" + s.Replace("\"", "\"\"", StringComparison.Ordinal) + "\"" : s,
            _ => throw new InvalidOperationException($"no CSV form for a {value.GetType().Name}"),
        };
    }
}
