using System.CommandLine;
using Diffract.Compute.Reference;
using Diffract.Reports;
using Diffract.Runs;

namespace Diffract.Cli.Commands;

/// <summary><c>diffract report</c>: the page, the tables, and what the terminal shows of them.</summary>
static class ReportCommand
{
    public static Command Create()
    {
        Argument<string> run = new("run") { Description = "Run folder." };
        Option<string[]> names = new("--name") { Description = "Crosscoders to show, in this order. Default: all of the layer.", AllowMultipleArgumentsPerToken = true };
        Option<LayerPair?> layer = LayerOption.Of("The layer to report on. Default: that of the crosscoders, when they agree.");
        Command command = new("report", "Writes report/index.html, report.json and CSV files from what the run has; what is missing is said. The last line is the page's path.") { run, names, layer };
        CommonOptions.RunWithout(command, (parse, progress, stop) =>
        {
            // The report computes nothing; a stage's context wants a backend all the same.
            using ReferenceBackend none = new();
            StageContext context = new(RunFolder.Open(parse.GetValue(run)!), none, progress, Stop: stop);
            ConsoleProgress.Show(ReportStage.Run(context, new ReportSettings(parse.GetValue(names) ?? [], parse.GetValue(layer))));
        });
        return command;
    }
}
