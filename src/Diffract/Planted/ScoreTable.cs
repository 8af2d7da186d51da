using System.Globalization;
using System.Text;
using Diffract.Scaling;

namespace Diffract.Planted;

/// <summary>The scores of one run or of several that differ in their seed, as Markdown: crosscoders of one name are one row, with the mean over the runs and its 95% t-interval.</summary>
public static class ScoreTable
{
    /// <param name="runs">For each run the scores of its crosscoders.</param>
    public static string Markdown(IReadOnlyList<IReadOnlyList<CrosscoderScore>> runs)
    {
        string[] names = [.. runs.SelectMany(r => r).Select(s => s.Name).Distinct()];
        (string Name, CrosscoderScore[] Scores)[] groups = [.. names.Select(n => (n, runs.SelectMany(r => r).Where(s => s.Name == n).ToArray()))];
        StringBuilder text = new();
        text.Append(CultureInfo.InvariantCulture, $"{runs.Count} run{(runs.Count == 1 ? "" : "s")}; mean over runs{(runs.Count == 1 ? "" : " ± half of the 95% t-interval")}; counts are sums over runs.\n\n");
        Training(text, groups);
        MatchedLatents(text, groups);
        Rules(text, groups);
        ByRate(text, groups);
        WrongClaims(text, groups);
        VerdictTable(text, groups);
        Misses(text, groups);
        return text.ToString().TrimEnd('\n') + "\n";
    }

    /// <summary>F1 among latents of half a percent and more: a row a crosscoder, a column a rule; what the terminal shows.</summary>
    public static (IReadOnlyList<string> Header, IReadOnlyList<IReadOnlyList<string>> Rows) Short(IReadOnlyList<IReadOnlyList<CrosscoderScore>> runs)
    {
        string[] names = [.. runs.SelectMany(r => r).Select(s => s.Name).Distinct()];
        return (
            ["F1, rates >= 0.5%", .. Claims.All.Select(Claims.Name)],
            [.. names.Select(n => (IReadOnlyList<string>)[n, .. Claims.All.Select(rule => Interval(runs.SelectMany(r => r).Where(s => s.Name == n), s => s.Of(rule, RateBin.Often).F1))])]);
    }

    static void Training(StringBuilder text, (string Name, CrosscoderScore[] Scores)[] groups)
    {
        Head(text, "Training", ["crosscoder", "runs", "variance explained", "L0", "dead"]);
        foreach ((string name, CrosscoderScore[] scores) in groups)
        {
            Row(text, [
                name, scores.Length.ToString(CultureInfo.InvariantCulture), Interval(scores, s => s.Facts.Explained, "F3"), Interval(scores, s => s.Facts.L0), Interval(scores, s => 100 * s.Facts.DeadShare, "F1") + " %"]);
        }
    }

    static void MatchedLatents(StringBuilder text, (string Name, CrosscoderScore[] Scores)[] groups)
    {
        Head(text, "True latents that a learned one was assigned to, of all (rates >= 0.5% / below)", ["crosscoder", .. TruthClasses.All.Select(TruthClasses.Name)]);
        foreach ((string name, CrosscoderScore[] scores) in groups)
        {
            Row(text, [name, .. TruthClasses.All.Select(c => $"{Of(scores, c, RateBin.Often)} / {Of(scores, c, RateBin.All[2])}")]);
        }

        static string Of(CrosscoderScore[] scores, TruthClass kind, RateBin bin)
        {
            (int Matched, int All)[] counts = [.. scores.Select(s => s.Matched(kind, bin))];
            return $"{counts.Sum(c => c.Matched)} of {counts.Sum(c => c.All)}";
        }
    }

    static void Rules(StringBuilder text, (string Name, CrosscoderScore[] Scores)[] groups)
    {
        Head(text, "Claims about latents that fire in at least 0.5% of the tokens", ["claim", "crosscoder", "claimed", "right", "true latents", "precision", "recall", "F1"]);
        foreach (ClaimRule rule in Claims.All)
        {
            foreach ((string name, CrosscoderScore[] scores) in groups)
            {
                ClaimScore[] of = [.. scores.Select(s => s.Of(rule, RateBin.Often))];
                Row(text, [
                    Claims.Name(rule), name, Sum(of, s => s.Claimed), Sum(of, s => s.Right), Sum(of, s => s.Truths),
                    Interval(of, s => s.Precision), Interval(of, s => s.Recall), Interval(of, s => s.F1)]);
            }
        }
    }

    static void ByRate(StringBuilder text, (string Name, CrosscoderScore[] Scores)[] groups)
    {
        RateBin[] bins = [RateBin.Everything, .. RateBin.All.Skip(2)];
        Head(text, "F1 by firing rate of the true latent (precision / recall)", ["claim", "crosscoder", .. bins.Select(b => b.Name)]);
        foreach (ClaimRule rule in Claims.All)
        {
            foreach ((string name, CrosscoderScore[] scores) in groups)
            {
                Row(text, [Claims.Name(rule), name, .. bins.Select(bin =>
                {
                    ClaimScore[] of = [.. scores.Select(s => s.Of(rule, bin))];
                    return $"{Interval(of, s => s.F1)} ({Mean(of, s => s.Precision)} / {Mean(of, s => s.Recall)})";
                })]);
            }
        }
    }

    static void WrongClaims(StringBuilder text, (string Name, CrosscoderScore[] Scores)[] groups)
    {
        string[] kinds = [.. TruthClasses.All.Select(TruthClasses.Name), CrosscoderScore.Duplicate, CrosscoderScore.Nothing];
        Head(text, "What wrong claims take, all rates (a latent that is a part of a true one counts with it)", ["claim", "crosscoder", "wrong", .. kinds]);
        foreach (ClaimRule rule in Claims.All)
        {
            foreach ((string name, CrosscoderScore[] scores) in groups)
            {
                Dictionary<string, int>[] wrong = [.. scores.Select(s => s.Wrong(rule, RateBin.Everything))];
                Row(text, [Claims.Name(rule), name, Sum(wrong, w => w.Values.Sum()), .. kinds.Select(k => Sum(wrong, w => w.GetValueOrDefault(k)))]);
            }
        }
    }

    static void VerdictTable(StringBuilder text, (string Name, CrosscoderScore[] Scores)[] groups)
    {
        Verdict[] verdicts = [Verdict.ChatSpecific, Verdict.CompleteShrinkage, Verdict.Decoupling, Verdict.Both, Verdict.Undecided];
        string right = TruthClasses.Name(TruthClass.ChatOnly);
        string[] kinds = [right, .. TruthClasses.All.Select(TruthClasses.Name).Where(n => n != right), CrosscoderScore.Duplicate, CrosscoderScore.Nothing];
        Head(text, "What Latent Scaling says of latents with Delta-norm > 0.9, by what they are, all rates", ["crosscoder", "true class", "claimed by norm", .. verdicts.Select(Verdicts.Name)]);
        foreach ((string name, CrosscoderScore[] scores) in groups)
        {
            Dictionary<(string What, Verdict Verdict), int>[] all = [.. scores.Select(s => s.VerdictsOfNormClaims(RateBin.Everything))];
            foreach (string kind in kinds.Where(k => all.Any(a => a.Keys.Any(key => key.What == k))))
            {
                Row(text, [name, kind, Sum(all, a => a.Where(p => p.Key.What == kind).Sum(p => p.Value)), .. verdicts.Select(v => Sum(all, a => a.GetValueOrDefault((kind, v))))]);
            }
        }
    }

    static void Misses(StringBuilder text, (string Name, CrosscoderScore[] Scores)[] groups)
    {
        string[] causes = ["not learned", "fires elsewhere", "taken", "dead", "norm", "nu_error", "nu_reconstruction", "too few tokens"];
        Head(text, "Why true latents that fire in at least 0.5% of the tokens are missed", ["claim", "crosscoder", "missed", .. causes]);
        foreach (ClaimRule rule in Claims.All)
        {
            foreach ((string name, CrosscoderScore[] scores) in groups)
            {
                Dictionary<string, int>[] missed = [.. scores.Select(s => s.Missed(rule, RateBin.Often))];
                Row(text, [Claims.Name(rule), name, Sum(missed, m => m.Values.Sum()), .. causes.Select(c => Sum(missed, m => m.GetValueOrDefault(c)))]);
            }
        }
    }

    static string Sum<T>(IEnumerable<T> items, Func<T, int> of) => items.Sum(of).ToString(CultureInfo.InvariantCulture);

    static string Interval<T>(IEnumerable<T> items, Func<T, double> of, string format = "F2") => SeedInterval.Of(items.Select(of)).Text(format);

    static string Mean<T>(IEnumerable<T> items, Func<T, double> of)
    {
        double mean = SeedInterval.Of(items.Select(of)).Mean;
        return double.IsNaN(mean) ? "-" : mean.ToString("F2", CultureInfo.InvariantCulture);
    }

    static void Head(StringBuilder text, string title, string[] columns)
    {
        if (text[^1] != '\n' || text[^2] != '\n')
        {
            text.Append('\n');
        }

        text.Append("**").Append(title).Append("**\n\n");
        Row(text, columns);
        Row(text, [.. columns.Select((_, i) => i == 0 ? "---" : "--:")]);
    }

    static void Row(StringBuilder text, IReadOnlyList<string> cells) => text.Append("| ").AppendJoin(" | ", cells).Append(" |\n");
}
