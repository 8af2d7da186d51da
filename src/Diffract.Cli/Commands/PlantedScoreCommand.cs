using System.CommandLine;
using Diffract.Planted;
using Diffract.Runs;

namespace Diffract.Cli.Commands;

/// <summary><c>diffract planted-score</c>: precision and recall of every claim about a planted run's crosscoders.</summary>
static class PlantedScoreCommand
{
    public static Command Create()
    {
        Command command = new("planted-score", """
            Holds the claims about the crosscoders of planted runs against the truth: chat-specific or base-specific by Delta-norm, by Latent Scaling, by both. Writes scores/ of each run: NAME.json (precision,
            recall and F1 by firing rate, what wrong claims take, why true latents are missed), NAME.csv (a row a learned latent) and scores.md. Several runs, one a seed, give means with 95% t-intervals.
            Each crosscoder needs `latents` and `scale` first.
            """);
        Argument<string[]> runs = new("run") { Description = "Run folders made by planted.", Arity = ArgumentArity.OneOrMore };
        Option<string[]> names = new("--name") { Description = "Crosscoders, in this order. Default: all of each run.", AllowMultipleArgumentsPerToken = true };
        Option<string?> output = new("--out") { Description = "Markdown file to write, over all runs. Default: scores.md of each run only." };
        command.Arguments.Add(runs);
        command.Options.Add(names);
        command.Options.Add(output);
        new CommonOptions().Run(command, (parse, backend, progress, stop) =>
        {
            List<IReadOnlyList<CrosscoderScore>> scores = [];
            foreach (string run in parse.GetValue(runs)!)
            {
                scores.Add(ScoreStage.Run(new StageContext(RunFolder.Open(run), backend, progress, Stop: stop), parse.GetValue(names) ?? []));
                progress.Report("planted-score", scores.Count, parse.GetValue(runs)!.Length, "runs");
            }

            (IReadOnlyList<string> header, IReadOnlyList<IReadOnlyList<string>> rows) = ScoreTable.Short(scores);
            ConsoleProgress.Show(header, rows);
            if (parse.GetValue(output) is { } file)
            {
                AtomicFile.WriteText(file, ScoreTable.Markdown(scores));
            }

            progress.Done("planted-score", parse.GetValue(output) ?? Path.Combine(RunFolder.Open(parse.GetValue(runs)![^1]).Scores, ScoreStage.TableFile));
        });
        return command;
    }
}
