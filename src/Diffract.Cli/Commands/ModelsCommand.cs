using System.CommandLine;
using Diffract.Llms;

namespace Diffract.Cli.Commands;

/// <summary><c>diffract models</c>: the families of checkpoints that are computed.</summary>
static class ModelsCommand
{
    public static Command Create()
    {
        Command command = new("models", """
            Lists the families of language models that are computed, with the fields of config.json that each reads.

            A checkpoint whose config.json sets another field that would change what it computes is refused by that field's name.
            """);
        CommonOptions.RunWithout(command, (_, progress, _) =>
        {
            foreach (string line in FamilyTable.Lines())
            {
                progress.Line(line);
            }
        });
        return command;
    }
}
