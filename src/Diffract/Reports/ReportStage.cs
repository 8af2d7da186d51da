using System.Diagnostics;
using System.Text.Json.Nodes;
using Diffract.Runs;

namespace Diffract.Reports;

/// <summary>What the report is asked for.</summary>
/// <param name="Names">Crosscoders to show, in this order; none: all that are on the layer.</param>
/// <param name="Layer">Null: the layer of the crosscoders, when they agree.</param>
public sealed record ReportSettings(IReadOnlyList<string> Names, LayerPair? Layer = null)
{
    /// <summary>Everything that the run has.</summary>
    public static ReportSettings Everything { get; } = new([]);
}

/// <summary>What the report stage made.</summary>
/// <param name="Path">The page.</param>
/// <param name="Table">What the terminal shows.</param>
public sealed record ReportOutcome(string Path, TerminalTable Table);

/// <summary>
/// The report stage: <c>report/index.html</c>, <c>report.json</c> and the CSV files, from whatever the run has. It takes seconds, so it is made anew each time; files of an earlier report go.
/// </summary>
public static class ReportStage
{
    public const string Page = "index.html";

    public static ReportOutcome Run(StageContext context, ReportSettings request)
    {
        Stopwatch clock = Stopwatch.StartNew();
        RunFolder run = context.Run;
        (RunReport report, IReadOnlyDictionary<string, string> inputs) = RunReader.Read(run, request.Names, request.Layer);
        context.Stop.ThrowIfCancellationRequested();
        string page = ReportHtml.Write(report);
        Remove(run.Report);
        Dictionary<string, FileSeal> outputs = new(StringComparer.Ordinal);
        void Write(string file, string text) => outputs[file] = AtomicFile.WriteText(Path.Combine(run.Report, file), text);
        Write("report.json", ReportJson.Write(report));
        foreach ((string file, string text) in ReportCsv.Write(report))
        {
            Write(file, text);
        }

        Write(Page, page);
        new StageManifest
        {
            Stage = "report",
            Settings = new JsonObject { ["layer"] = report.Answer.Layer, ["names"] = new JsonArray([.. report.Crosscoders.Select(c => (JsonNode)c.Name)]) },
            Inputs = new Dictionary<string, string>(inputs, StringComparer.Ordinal),
            Outputs = outputs,
            Seconds = clock.Elapsed.TotalSeconds,
        }.Save(run.Report);
        return new ReportOutcome(Path.Combine(run.Report, Page), TerminalTable.From(report));
    }

    /// <summary>What an earlier report wrote, and nothing else.</summary>
    static void Remove(string folder)
    {
        if (StageManifest.TryLoad(folder) is { } earlier)
        {
            File.Delete(Path.Combine(folder, StageManifest.FileName));
            foreach (string file in earlier.Outputs.Keys.Where(f => f == Path.GetFileName(f)))
            {
                File.Delete(Path.Combine(folder, file));
            }
        }
    }
}
