using static Diffract.Reports.ReportNumbers;
using static Diffract.Reports.ReportWords;

namespace Diffract.Reports;

/// <summary>What each section shows in this run (<see cref="ReportSays"/>).</summary>
static class ReportSentences
{
    public static ReportSays Write(ReportAnswer answer, ReportComparison comparison, IReadOnlyList<ReportCrosscoder> crosscoders, ReportTrust trust)
        => new(
            [Compared(answer, comparison, Sparsity(crosscoders))], Norms(crosscoders), Scaling(crosscoders), Effects(crosscoders), Meaning(crosscoders), Behaviours(crosscoders),
            Latents(crosscoders), Training(crosscoders), [Trust(trust)]);

    static string Compared(ReportAnswer answer, ReportComparison comparison, string sparsity)
    {
        List<string> parts = [];
        foreach (IGrouping<string, ReportText> source in comparison.Texts.GroupBy(t => t.Source))
        {
            parts.Add($"{Count(source.Sum(t => t.Documents))} {source.Key} ({Counted(source.Sum(t => t.Tokens), "token")})");
        }

        string texts = parts.Count == 0 ? "no text" : List(parts);
        string norms = comparison.Models.Count == 0 ? "" : $" Their norms there are {List([.. comparison.Models.Select(m => $"{Number(m.Norm, 1)} ({m.Name})")])}.";
        return $"Both models read the same {texts}; their activations after {Where(answer)} were compared token by token.{norms}"
            + (comparison.Texts.Any(t => t.Source == "chats") ? "" : " Without chats, nothing can be said about answers.") + (sparsity.Length == 0 ? "" : " " + sparsity);
    }

    static string Where(ReportAnswer answer) => answer.Layer.IsSame
        ? $"block {answer.Layer}{(answer.Blocks > 0 ? $" of {answer.Blocks}" : "")}"
        : $"block {answer.Layer.Base} of the base model and block {answer.Layer.Chat} (of {answer.Blocks}) of the chat model";

    static IReadOnlyList<string> Norms(IReadOnlyList<ReportCrosscoder> crosscoders)
        => [.. crosscoders.Select(c =>
        {
            if (c.Norms is not { } n)
            {
                return $"{Label(c)}: {Missing(c, "norms")}.";
            }

            string dead = n.All.Total == n.Alive.Total ? "" : $" ({Count(n.All.Total - n.Alive.Total)} dead)";
            string shared = $"{Label(c)}: of {Counted(n.All.Total, "latent")}{dead}, {Percent(n.All.Total == 0 ? double.NaN : (double)n.All.Shared / n.All.Total)} are shared (Δ-norm 0.4 to 0.6)";
            if (n.All.ChatOnly + n.All.BaseOnly == 0)
            {
                return $"{shared}; none lies at either end, so the norm singles out nothing.";
            }

            string survivors = c.Scaling is not { } s || n.All.ChatOnly == 0 ? "" : s.Verdicts.ChatSpecific == 0
                ? " (none of them after Latent Scaling)" : $" ({Count(s.Verdicts.ChatSpecific)} of them still after Latent Scaling)";
            return $"{shared}; {Count(n.All.ChatOnly)} {(n.All.ChatOnly == 1 ? "is" : "are")} chat-only by norm{survivors}, {Count(n.All.BaseOnly)} base-only.";
        })];

    static IReadOnlyList<string> Scaling(IReadOnlyList<ReportCrosscoder> crosscoders)
        => [.. crosscoders.Select(c =>
        {
            if (c.Scaling is not { } s)
            {
                return $"{Label(c)}: {Missing(c, "scaling")}.";
            }

            if (s.Verdicts.Total == 0)
            {
                return $"{Label(c)}: no chat-only latent (Δ-norm above 0.9) to test.{Below(s)}";
            }

            string medians = double.IsNaN(s.ErrorMedian) ? "none has both ratios" : $"median ν-error {Number(s.ErrorMedian)}, median ν-reconstruction {Number(s.ReconstructionMedian)}";
            string shared = s.SharedTotal == 0 ? "" : $" (shared latents: {Number(s.SharedErrorMedian)} and {Number(s.SharedReconstructionMedian)})";
            int judged = s.Verdicts.Total - s.Verdicts.Undecided;
            return $"{Label(c)}: of {Counted(judged, "chat-only latent")} that can be judged, {(s.Verdicts.ChatSpecific == 0 ? "none is" : Count(s.Verdicts.ChatSpecific) + (s.Verdicts.ChatSpecific == 1 ? " is" : " are"))} chat-specific{Reach(s)}; {medians}{shared}.{Below(s)}";
        })];

    /// <summary>How close to the thresholds the survivors lie.</summary>
    static string Reach(ReportScaling s)
    {
        List<ScalingPoint> survivors = [.. s.Points.Where(p => p.Verdict == "chat-specific")];
        return survivors.Count == 0 ? ""
            : $" (ν-error {Range(survivors.Select(p => p.NuError))}, limit 0.2; ν-reconstruction {Range(survivors.Select(p => p.NuReconstruction))}, limit 0.5)";

        static string Range(IEnumerable<double> values)
        {
            double low = values.Min(), high = values.Max();
            return low == high ? Number(low) : $"{Number(low)} to {Number(high)}";
        }
    }

    static IReadOnlyList<string> Meaning(IReadOnlyList<ReportCrosscoder> crosscoders)
        => [.. crosscoders.Select(c =>
        {
            if (c.Cards.Count == 0)
            {
                return $"{Label(c)}: {Missing(c, "cards")}.";
            }

            int survivors = c.Cards.Count(k => k.Latent.Survives);
            int chatOnly = c.Cards.Count(k => k.Latent.Class == "chat-only");
            int template = c.Cards.Count(k => k.Latent.TemplateShare > 0.5);
            string what = survivors == c.Cards.Count ? "all chat-specific"
                : survivors > 0 ? $"{Count(survivors)} chat-specific, then the highest Δ-norm"
                : chatOnly > 0 ? $"none chat-specific; {Count(chatOnly)} chat-only by norm" : "none even chat-only by norm: these are only the highest Δ-norm there is";
            string templates = template == 0 ? "none fires mostly on template tokens" : $"{Count(template)} fire{(template == 1 ? "s" : "")} mostly on template tokens";
            return $"{Label(c)}: {Counted(c.Cards.Count, "latent")}, {what}; {templates}.";
        })];

    static IReadOnlyList<string> Latents(IReadOnlyList<ReportCrosscoder> crosscoders)
        => [.. crosscoders.Select(c => c.Latents.Count == 0
            ? $"{Label(c)}: {Missing(c, "latents")}."
            : $"{Label(c)}: {Counted(c.Latents.Count, "latent")}, {Count(c.Latents.Count(l => l.Dead))} of them dead (fewer than 10 held-out tokens).")];

    static IReadOnlyList<string> Training(IReadOnlyList<ReportCrosscoder> crosscoders)
        => [.. crosscoders.Select(c =>
        {
            if (c.Training is not { Count: > 0 } series)
            {
                return $"{Label(c)}: {Missing(c, "training")}.";
            }

            ReportSeries? loss = series.FirstOrDefault(s => s.Name == "loss");
            string fall = loss is not { Values.Count: > 1 } ? "" : $"the loss went from {Number(loss.Values[0])} to {Number(loss.Values[^1])} in {Counted(c.Settings.Steps ?? loss.Steps[^1] + 1, "step")}; ";
            return $"{Label(c)}: {fall}at the end {Percent(c.Settings.FvePooled)} of the variance is explained by {Number(c.Settings.L0, 1)} active latents a token, {Percent(c.Settings.DeadShare)} are dead.";
        })];

    static string Trust(ReportTrust trust)
        => trust.Skipped.Count == 0
            ? $"Nothing was skipped; {Counted(trust.Commands.Count, "command")} below make{(trust.Commands.Count == 1 ? "s" : "")} the same run again."
            : $"{Counted(trust.Skipped.Count, "part")} {(trust.Skipped.Count == 1 ? "is" : "are")} missing, with the reason below; {Counted(trust.Commands.Count, "command")} make{(trust.Commands.Count == 1 ? "s" : "")} the same run again.";
}
