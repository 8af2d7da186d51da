namespace Diffract.Reports;

/// <summary>Section 9: how far to trust this.</summary>
/// <param name="Facts">Seeds, versions, processor path: name and value.</param>
/// <param name="Stages">Every stage folder the report was made from.</param>
/// <param name="Commands">Command lines that make the run again.</param>
/// <param name="Skipped">What was left out and why.</param>
/// <param name="Limits">Known limits of the method and of this run.</param>
/// <param name="References">The papers, cited by number in the text.</param>
public sealed record ReportTrust(
    IReadOnlyList<ReportFact> Facts, IReadOnlyList<ReportStageRow> Stages, IReadOnlyList<string> Commands, IReadOnlyList<string> Skipped,
    IReadOnlyList<string> Limits, IReadOnlyList<string> References);

/// <summary>A name and its value.</summary>
public sealed record ReportFact(string Name, string Value);

/// <summary>One stage folder.</summary>
/// <param name="Folder">Path relative to the run.</param>
/// <param name="Fingerprint">Hash over settings, inputs and outputs.</param>
/// <param name="Finished">UTC, ISO 8601.</param>
/// <param name="Seconds">How long it took.</param>
/// <param name="Version">Program version.</param>
/// <param name="Backend">Kernels and processor.</param>
public sealed record ReportStageRow(string Folder, string Fingerprint, string Finished, double Seconds, string Version, string Backend);
