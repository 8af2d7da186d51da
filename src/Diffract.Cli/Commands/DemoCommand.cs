using System.CommandLine;
using Diffract.Pipeline;
using Diffract.Runs;

namespace Diffract.Cli.Commands;

/// <summary><c>diffract demo</c>.</summary>
static class DemoCommand
{
    public static Command Create()
    {
        Option<string> output = new("--out") { Description = "Run folder.", DefaultValueFactory = _ => Path.Combine("runs", "demo") };
        Option<bool> fresh = new("--fresh") { Description = "Throw away what an earlier demo made there. Default: go on where it stopped." };
        Command command = new("demo", "Run the whole path on the pair of small models that ships with the program, and write the report (about two and a half minutes on two cores).") { output, fresh };
        new CommonOptions().Run(command, (parse, backend, progress, stop) =>
        {
            RunFolder run = RunFolder.Create(parse.GetValue(output)!);
            ConsoleProgress.Show(MainPath.Run(new StageContext(run, backend, progress, parse.GetValue(fresh), stop), Demo.Settings(Assets)));
        });
        return command;
    }

    /// <summary>The embedded pair, beside the program whatever the current folder is.</summary>
    static string Assets => Path.Combine(AppContext.BaseDirectory, "assets", "organism");
}
