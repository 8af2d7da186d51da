using System.CommandLine;
using Diffract.Crosscoders;

namespace Diffract.Cli.Commands;

/// <summary><c>diffract encode</c>: a loose file of activations through a crosscoder.</summary>
static class EncodeCommand
{
    public static Command Create()
    {
        Command command = new("encode", """
            Encodes and reconstructs a file of activations with a crosscoder, as at inference.

            Loose files: diffract encode --crosscoder DIR --activations X.safetensors --out Y.safetensors
              X: x [N, M, D], of an SAE [N, D]. Y: code [N, L], unscaled (decoupled [N, M, L]), and reconstruction, of the shape of x, in raw units. DIR: any published
              layout (diffract export --help lists them). A dictionary whose threshold is unset is encoded densely, with a warning.
            """);
        Option<string> crosscoder = new("--crosscoder") { Description = "Folder of the crosscoder, or its name on the hub.", Required = true };
        Option<string> activations = new("--activations") { Description = "safetensors with x [N, M, D], of an SAE [N, D].", Required = true };
        Option<string> output = new("--out") { Description = "File to write.", Required = true };
        command.Options.Add(crosscoder);
        command.Options.Add(activations);
        command.Options.Add(output);
        new CommonOptions().Run(command, (parse, backend, progress, stop) =>
            LooseEncoding.Run(Places.Dictionary(parse.GetValue(crosscoder)!, progress, stop), parse.GetValue(activations)!, parse.GetValue(output)!, backend, progress, stop));
        return command;
    }
}
