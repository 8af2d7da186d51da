namespace Diffract.Reports;

/// <summary>What each section shows in this run, in a sentence for the run or for each crosscoder, written from the numbers.</summary>
public sealed record ReportSays(
    IReadOnlyList<string> Compared, IReadOnlyList<string> Norms, IReadOnlyList<string> Scaling, IReadOnlyList<string> Effects, IReadOnlyList<string> Meaning,
    IReadOnlyList<string> Behaviours, IReadOnlyList<string> Latents, IReadOnlyList<string> Training, IReadOnlyList<string> Trust);
