using Diffract.Evidence;
using Diffract.Latents;
using static Diffract.Reports.ReportNumbers;

namespace Diffract.Reports;

/// <summary>The sentences of the report, written from its numbers. Each says so when there is nothing to see.</summary>
public static class ReportWords
{
    /// <summary>Headline and paragraphs of section 0.</summary>
    public static (string Headline, IReadOnlyList<string> Paragraphs) Answer(IReadOnlyList<ReportCrosscoder> crosscoders)
        => (Headline(crosscoders), [string.Join(" ", Verdicts(crosscoders)), string.Join(" ", Effects(crosscoders, brief: true)), string.Join(" ", Behaviours(crosscoders, brief: true))]);

    public static string Headline(IReadOnlyList<ReportCrosscoder> crosscoders)
    {
        List<ReportCrosscoder> scaled = [.. crosscoders.Where(c => c.Scaling is not null)];
        if (scaled.Count == 0)
        {
            return crosscoders.Count > 0 && crosscoders.All(c => c.Missing.GetValueOrDefault("scaling") == CommonSpace.NoScaling)
                ? $"Not decided: Latent Scaling does not apply, since {CommonSpace.NoScaling}."
                : "Not decided: Latent Scaling has not been run on any crosscoder here.";
        }

        int chatOnly = scaled.Sum(c => c.Scaling!.Verdicts.Total);
        int survivors = scaled.Sum(c => c.Scaling!.Verdicts.ChatSpecific);
        string where = scaled.Count switch
        {
            1 => Label(scaled[0]),
            <= 3 => string.Join(", ", scaled.Select(c => $"{Label(c)}: {(c.Scaling!.Verdicts.Total == 0 ? "none to test" : $"{Count(c.Scaling.Verdicts.ChatSpecific)} of {Count(c.Scaling.Verdicts.Total)}")}")),
            _ => $"{Count(scaled.Count)} crosscoders together",
        };
        if (chatOnly == 0)
        {
            return $"None found: no latent looks chat-only by its decoder norm ({where}).";
        }

        string looks = chatOnly == 1 ? "1 latent that looks" : $"{Count(chatOnly)} latents that look";
        return survivors == 0
            ? $"None found: of {looks} chat-only by decoder norm ({where}), none survives Latent Scaling."
            : $"{Count(survivors)} of {looks} chat-only by decoder norm {(survivors == 1 ? "survives" : "survive")} Latent Scaling ({where}).";
    }

    /// <summary>How many look chat-only in each crosscoder, and what became of them.</summary>
    public static IReadOnlyList<string> Verdicts(IReadOnlyList<ReportCrosscoder> crosscoders)
        => [.. crosscoders.Select(c =>
        {
            if (c.Norms is not { } norms)
            {
                return $"{Label(c)}: {Missing(c, "norms")}.";
            }

            string looks = $"{Label(c)}: {Count(norms.All.ChatOnly)} of {Counted(norms.All.Total, "latent")} look{(norms.All.ChatOnly == 1 ? "s" : "")} chat-only by norm (Δ-norm above 0.9)";
            return c.Scaling is not { } scaling
                ? $"{looks}; {Missing(c, "scaling")}."
                : norms.All.ChatOnly == 0 ? $"{looks}: there is nothing to test by Latent Scaling.{Below(scaling)}" : $"{looks}; {Split(scaling.Verdicts)}.{Below(scaling)}";
        })];

    /// <summary>What the norm alone overlooks.</summary>
    public static string Below(ReportScaling scaling)
        => scaling.BelowNorm == 0 ? "" : $" {Counted(scaling.BelowNorm, "latent")} below that norm pass{(scaling.BelowNorm == 1 ? "es" : "")} both ratios all the same.";

    static string Split(VerdictCounts v)
    {
        List<string> rest = [];
        void Add(int n, string what)
        {
            if (n > 0)
            {
                rest.Add($"{Count(n)} {what}");
            }
        }

        Add(v.CompleteShrinkage, "by complete shrinkage");
        Add(v.Decoupling, "by decoupling");
        Add(v.Both, "by both");
        string failed = rest.Count == 0 ? "" : $", {Count(v.CompleteShrinkage + v.Decoupling + v.Both)} fail ({List(rest)})";
        string undecided = v.Undecided == 0 ? "" : $", {Count(v.Undecided)} fire too rarely to tell";
        return $"{(v.ChatSpecific == 0 ? "none survives" : v.ChatSpecific == 1 ? "1 survives" : Count(v.ChatSpecific) + " survive")} Latent Scaling{failed}{undecided}";
    }

    /// <summary>Share of the gap that each half recovers: the gap first, then a sentence a crosscoder. Brief leaves out the control and the whole dictionary.</summary>
    public static IReadOnlyList<string> Effects(IReadOnlyList<ReportCrosscoder> crosscoders, bool brief = false)
    {
        ReportCrosscoder? measured = crosscoders.FirstOrDefault(c => Find(c, "none") is not null);
        if (measured is null)
        {
            return [$"What the latents do to the chat model's predictions was not measured: {Missing(crosscoders, "effects")}."];
        }

        EditResult none = Find(measured, "none")!;
        string gap = $"On {Counted(measured.Effects!.Conversations, "held-out chat")} ({Counted(none.Kl.N, "answer token")}), the base model's activations fed into the chat model move its "
            + $"predictions by {WithInterval(none.Kl)} nats a token (KL): that is the gap.";
        return [gap, .. crosscoders.Select(c => Find(c, "none") is null ? $"{Label(c)}: {Missing(c, "effects")}." : Halves(c, brief))];
    }

    static string Halves(ReportCrosscoder c, bool brief)
    {
        string Share(string edit)
        {
            EditResult? e = Find(c, edit);
            return e is null ? "not measured" : e.TooFew is not null || e.GapShare is null ? $"no number ({e.TooFew ?? "not measured"})" : PercentWithInterval(e.GapShare);
        }

        EditResult? best = Find(c, "replace_best_scaling");
        EditResult? bestNorm = Find(c, "replace_best_norm");
        string all = $"all its latents together recover {Share("all")}, what they miss (the error) {Share("error")}";
        if (best is null or { TooFew: not null } && bestNorm is null or { TooFew: not null })
        {
            return $"{Label(c)}: the halves of the pool can't be compared ({best?.TooFew ?? bestNorm?.TooFew ?? "not measured"}); {all}.";
        }

        string halves = $"{Label(c)} ({Counted(Math.Max(best?.Latents ?? 0, bestNorm?.Latents ?? 0), "latent")} a half): ordered by Latent Scaling, the best half recovers {Share("replace_best_scaling")} of the gap "
            + $"and the worst {Share("replace_worst_scaling")}; ordered by norm, {Share("replace_best_norm")} and {Share("replace_worst_norm")}";
        PairedDifference? paired = c.Effects?.Differences.FirstOrDefault(d => d is { EditA: "replace_best_scaling", EditB: "replace_worst_scaling", Subset: "all", Metric: "kl" });
        string less = paired is null ? "" : $" Best half less worst by Latent Scaling, paired by conversation: {WithInterval(paired.Difference)} nats of KL.";
        return brief ? halves + "." : $"{halves}.{less} As many shared latents of the same firing rates recover {Share("replace_control")}, {all}.";
    }

    /// <summary>Which behaviours the survivors track, a sentence a crosscoder.</summary>
    public static IReadOnlyList<string> Behaviours(IReadOnlyList<ReportCrosscoder> crosscoders, bool brief = false)
        => crosscoders.All(c => c.Behaviours is null)
            ? [$"Which behaviours they track was not measured: {Missing(crosscoders, "behaviours")}."]
            : [.. crosscoders.Select(c => c.Behaviours is { } b ? Tracked(c, b, brief ? 3 : 6) : $"{Label(c)}: {Missing(c, "behaviours")}.")];

    static string Tracked(ReportCrosscoder c, BehaviourResults results, int most)
    {
        IReadOnlyList<BehaviourRow> measured = results.Measured(), tracked = results.Tracked();
        if (measured.Count == 0)
        {
            return results.Candidates.Count == 0
                ? $"{Label(c)}: there is no latent that could track a behaviour."
                : $"{Label(c)}: too few labelled chats to say which behaviours its latents track.";
        }

        string chats = $"on {Counted(results.HeldOutChats, "held-out chat")}";
        string who = results.CandidatesAreSurvivors
            ? $"{Label(c)}: the survivors" : $"{Label(c)}: {(c.Scaling is null ? "no latent was judged by Latent Scaling" : "no survivor, so none tracks a behaviour")}. The {Count(results.Candidates.Count)} latents with the highest Δ-norm, taken instead,";
        if (tracked.Count == 0)
        {
            return $"{who} tell none of {Counted(measured.Count, "behaviour")} apart better than shuffled labels do, {chats}.{AgainstOthers(results)}";
        }

        // The low bar comes last, and is called one.
        string chance = Number(measured.Max(r => r.ShuffledHigh ?? 0.5));
        string then = tracked.Count == 1 || most == 1 ? "" : $", then {List([.. tracked.Take(most).Skip(1).Select(Name)])}";
        return $"{who} tell {Name(tracked[0])} best{then}, {chats}. {Count(results.Clear())} of {Counted(measured.Count, "behaviour")} {(measured.Count == 1 ? "reaches" : "reach")} an AUC of {Number(BehaviourResults.ClearAuc)}; "
            + $"{Count(tracked.Count)} {(tracked.Count == 1 ? "stands" : "stand")} above shuffled labels, a low bar ({chance} at most in 95 of 100 cases).{AgainstOthers(results)}";
    }

    /// <summary>Refusal against its harmless look-alikes: the harder test of the same latents.</summary>
    static string AgainstOthers(BehaviourResults results)
        => string.Concat(results.Rows.Where(r => r is { Against: not null, Auc: not null, TooFew: null })
            .Select(r => $" {char.ToUpperInvariant(r.Group[0])}{r.Group[1..]} against {r.Against} only: latent {r.Latent}, AUC {WithInterval(r.Auc!)}."));

    /// <summary>L1's sparsity beside that of BatchTopK, which its penalty was set for; empty unless both are there.</summary>
    public static string Sparsity(IReadOnlyList<ReportCrosscoder> crosscoders)
    {
        ReportCrosscoder? top = crosscoders.FirstOrDefault(c => c.Settings.K is not null);
        ReportCrosscoder? l1 = crosscoders.FirstOrDefault(c => c.Settings.K is null && double.IsFinite(c.Settings.L0));
        return top is null || l1 is null ? "" : $"{Label(l1)}'s validation L0 is {Number(l1.Settings.L0, 1)}, beside {Label(top)}'s k of {Count(top.Settings.K!.Value)} (its own validation L0: {Number(top.Settings.L0, 1)}).";
    }

    static string Name(BehaviourRow r) => $"{r.Group}{(r.Against is null ? "" : $" against {r.Against}")} (latent {r.Latent}, AUC {WithInterval(r.Auc!)})";

    public static EditResult? Find(ReportCrosscoder c, string edit, string subset = "all") => c.Effects?.Edits.FirstOrDefault(e => e.Edit == edit && e.Subset == subset);

    /// <summary>"BatchTopK", or "BatchTopK “batchtopk-k32”" when the name says more than the kind.</summary>
    public static string Label(ReportCrosscoder c) => string.Equals(c.Name, c.Settings.Kind, StringComparison.OrdinalIgnoreCase) ? c.Settings.Kind : $"{c.Settings.Kind} “{c.Name}”";

    public static string Missing(ReportCrosscoder c, string section) => c.Missing.TryGetValue(section, out string? why) ? why : "not there";

    static string Missing(IReadOnlyList<ReportCrosscoder> crosscoders, string section)
        => crosscoders.Count == 0 ? "there is no crosscoder" : List([.. crosscoders.Select(c => Missing(c, section)).Distinct(StringComparer.Ordinal)]);
}
