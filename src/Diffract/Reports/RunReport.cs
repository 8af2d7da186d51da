using Diffract.Runs;

namespace Diffract.Reports;

/// <summary>
/// The story of a run, in the order in which a reader meets it. The page, <c>report.json</c>, the tables and the terminal are four views of this record; none of them computes anything.
/// </summary>
/// <param name="Title">What was compared, in one line.</param>
/// <param name="Answer">Section 0.</param>
/// <param name="Comparison">Section 1 without its table of crosscoders.</param>
/// <param name="Crosscoders">Everything that belongs to one crosscoder, for sections 1 to 8.</param>
/// <param name="Says">One sentence a section, written from the numbers.</param>
/// <param name="Trust">Section 9.</param>
public sealed record RunReport(
    string Title, ReportAnswer Answer, ReportComparison Comparison, IReadOnlyList<ReportCrosscoder> Crosscoders, ReportSays Says, ReportTrust Trust)
{
    /// <summary>Version of the record's layout, as docs/formats.md describes it.</summary>
    public int Format { get; init; } = 1;

    /// <summary>Reads the stage folders of a run.</summary>
    /// <param name="run">The run.</param>
    /// <param name="names">Crosscoders to show, in this order; none: all of the layer.</param>
    /// <param name="layer">The layer; null: that of the crosscoders, when they agree.</param>
    /// <exception cref="DiffractException">There is no crosscoder, or a stage is stale or damaged.</exception>
    public static RunReport Build(RunFolder run, IReadOnlyList<string>? names = null, LayerPair? layer = null) => RunReader.Read(run, names ?? [], layer).Report;

    /// <summary>Puts the parts together and writes every sentence from their numbers.</summary>
    /// <param name="title">One line.</param>
    /// <param name="answer">Section 0; its headline and paragraphs are written here.</param>
    /// <param name="comparison">Section 1.</param>
    /// <param name="crosscoders">In the order in which they are shown.</param>
    /// <param name="trust">Section 9.</param>
    public static RunReport Tell(string title, ReportAnswer answer, ReportComparison comparison, IReadOnlyList<ReportCrosscoder> crosscoders, ReportTrust trust)
    {
        (string headline, IReadOnlyList<string> paragraphs) = ReportWords.Answer(crosscoders);
        ReportAnswer told = answer with { Headline = headline, Paragraphs = paragraphs };
        return new RunReport(title, told, comparison, crosscoders, ReportSentences.Write(told, comparison, crosscoders, trust), trust);
    }
}
