using System.CommandLine;
using Diffract.Evidence;

namespace Diffract.Cli.Commands;

/// <summary><c>diffract examples</c>: the quantile example store of a dictionary.</summary>
static class ExamplesCommand
{
    public static Command Create()
    {
        Command command = new("examples", """
            Writes the example store of a dictionary: for each latent, sequences in which it fires at each quantile of its maximum, as an SQLite database that the published tools open.

            Loose files: diffract examples --crosscoder DIR --activations X.safetensors --ids O.jsonl --out examples.db
              A line of O is a sequence, whose ids are the rows of X in order, end to end. A sequence belongs to the bin of its largest activation: (0, .25], (.25, .5], (.5, .75],
              (.75, .95], (.95, 1] of the latent's maximum over X. Activations are scaled. A sequence that repeats an earlier one is passed over.
            """);
        DictionaryOptions dictionary = new(command);
        Option<string> ids = new("--ids") { Description = "JSON lines with ids, as tokenize writes them.", Required = true };
        Option<int> most = new("--examples") { Description = "Examples by quantile and latent; of more, so many at random.", DefaultValueFactory = _ => 100 };
        Option<int> seed = new("--seed") { Description = "Of that choice.", DefaultValueFactory = _ => 42 };
        Option<string> output = new("--out") { Description = "Database to write.", Required = true };
        foreach (Option option in (Option[])[ids, most, seed, output])
        {
            command.Options.Add(option);
        }

        new CommonOptions().Run(command, (parse, backend, progress, stop) => LooseExamples.Run(
            backend, progress, dictionary.Of(parse, progress, stop), parse.GetValue(ids)!, parse.GetValue(most), parse.GetValue(seed), parse.GetValue(output)!, stop));
        return command;
    }
}
