using static Diffract.Reports.ReportNumbers;

namespace Diffract.Reports;

/// <summary>What the terminal shows at the end: section 1's rows, then lines.</summary>
/// <param name="Header">Column names.</param>
/// <param name="Rows">A row a crosscoder.</param>
/// <param name="Lines">The headline, both sparsities, the verdicts, the share of the gap, and the behaviours.</param>
public sealed record TerminalTable(IReadOnlyList<string> Header, IReadOnlyList<IReadOnlyList<string>> Rows, IReadOnlyList<string> Lines)
{
    public static TerminalTable From(RunReport report)
    {
        List<string> header = ["crosscoder", "latents", "k or mu", "steps", "L0", "dead", "variance explained"];
        header.AddRange(report.Comparison.Models.Select(m => m.Name));
        header.AddRange(["chat-only", "chat-specific"]);
        return new TerminalTable(
            header, [.. report.Crosscoders.Select(c => Row(report, c))],
            [report.Answer.Headline, .. Sparsity(report), .. ReportWords.Verdicts(report.Crosscoders), .. ReportWords.Effects(report.Crosscoders, brief: true), .. ReportWords.Behaviours(report.Crosscoders, brief: true)]);
    }

    static List<string> Row(RunReport report, ReportCrosscoder c)
    {
        ReportSetup s = c.Settings;
        List<string> row =
        [
            ReportWords.Label(c), Count(s.Latents),
            s.K is { } k ? $"k {Count(k)}" : s.Mu is { } mu ? "mu " + mu.ToString("R", System.Globalization.CultureInfo.InvariantCulture) : "-",
            s.Loaded ? "loaded" : s.Steps is { } steps ? Count(steps) : "-",
            Or(s.L0, Number(s.L0, 1)), Or(s.DeadShare, Percent(s.DeadShare)), Or(s.FvePooled, Percent(s.FvePooled)),
        ];
        row.AddRange(report.Comparison.Models.Select((_, m) => m < s.FveByModel.Count ? Or(s.FveByModel[m], Percent(s.FveByModel[m])) : "-"));
        row.AddRange([c.Norms is null ? "-" : Count(c.Norms.All.ChatOnly), c.Scaling is null ? "-" : Count(c.Scaling.Verdicts.ChatSpecific)]);
        return row;
    }

    static List<string> Sparsity(RunReport report) => ReportWords.Sparsity(report.Crosscoders) is { Length: > 0 } text ? [text] : [];

    static string Or(double value, string text) => double.IsFinite(value) ? text : "-";
}
