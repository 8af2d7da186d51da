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
              X: x [N, M, D], of an SAE [N, D]; of models of different widths x.0 [N, D0], x.1 [N, D1]. Y: code [N, L], unscaled (decoupled [N, M, L]), and reconstruction, of the
              shape of x (reconstruction.0, reconstruction.1), in raw units. DIR: any published layout (diffract export --help lists them). A dictionary whose threshold is unset is encoded densely, with a warning.
            """);
        Option<string> crosscoder = new("--crosscoder") { Description = "Folder of the crosscoder, or its name on the hub.", Required = true };
        Option<string> activations = new("--activations") { Description = "safetensors with x [N, M, D], of an SAE [N, D], or x.0 [N, D0], x.1 [N, D1].", Required = true };
        Option<string?> scale = new("--input-scale") { Description = "For a crosscoder trained on scaled activations: one factor, one for each model (0.21,0.19), auto (the square root of the width over their mean norm), or none. Default: none; of published crosscoders in the layout blocks, auto where that explains more." };
        Option<string> output = new("--out") { Description = "File to write.", Required = true };
        Option<string?> metrics = new("--metrics") { Description = "JSON to write what the reconstruction is worth to: l2_loss, l1_loss, l0, frac_alive, frac_variance_explained (pooled), cossim, l2_ratio, relative_reconstruction_bias, of all models and of each. Default: not written." };
        command.Options.Add(metrics);
        command.Options.Add(crosscoder);
        command.Options.Add(activations);
        command.Options.Add(scale);
        command.Options.Add(output);
        new CommonOptions().Run(command, (parse, backend, progress, stop) =>
            LooseEncoding.Run(Places.Dictionary(parse.GetValue(crosscoder)!, progress, stop), parse.GetValue(activations)!, parse.GetValue(output)!, InputScale.Parse(parse.GetValue(scale)), parse.GetValue(metrics), backend, progress, stop));
        return command;
    }
}
