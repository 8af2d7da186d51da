using System.CommandLine;
using Diffract.Crosscoders;
using Diffract.Latents;
using Diffract.Runs;
using Diffract.Scaling;

namespace Diffract.Cli.Commands;

/// <summary><c>diffract scale</c>: Latent Scaling of a run's crosscoder, or of loose files.</summary>
static class ScaleCommand
{
    public static Command Create()
    {
        Command command = new("scale", """
            Writes scaling/NAME of a run folder: all eight betas, both ratios with standard errors, and a verdict for each latent that looks chat-only by its decoder norms
            (Delta-norm above 0.9). Chat-specific: |nu_error| below 0.2 and |nu_reconstruction| below 0.5, from at least 50 activations.

            Loose files: diffract scale --crosscoder DIR --activations X.safetensors --out Y.safetensors
              X holds x [N,M,D]; Y gets <target>.beta, .count_active, .nominator, .norm_f and .norm_d, each [L] float64, for base_ and chat_ activation,
              activation_no_bias, reconstruction and error.
            """);
        Argument<string?> run = new("run") { Description = "Run folder with tokens, activations and a trained crosscoder.", Arity = ArgumentArity.ZeroOrOne };
        Option<string?> name = new("--name") { Description = "Crosscoder. Default: the only one, else batchtopk." };
        Option<int?> layer = new("--layer") { Description = "Choose the crosscoder of this layer. Default: the crosscoder's own." };
        Option<int> blocks = new("--blocks") { Description = "Blocks of documents for the standard errors.", DefaultValueFactory = _ => 32 };
        Option<bool> unset = new("--allow-unset-threshold") { Description = "Go on with a BatchTopK crosscoder that has no threshold, with a dense code. Default: refuse." };
        Option<bool> fresh = new("--fresh") { Description = "Replace what is there. Default: keep it." };
        Option<string?> crosscoder = new("--crosscoder") { Description = "Loose files: crosscoder folder in any published layout (diffract export --help lists them)." };
        Option<string?> activations = new("--activations") { Description = "Loose files: safetensors with x [N,M,D]." };
        Option<string?> scale = new("--input-scale") { Description = "Loose files: for a crosscoder trained on scaled activations: one factor, one for each model (0.21,0.19), auto (the square root of the width over their mean norm), or none. Default: none; of published crosscoders in the layout blocks, auto where that explains more." };
        Option<string?> output = new("--out") { Description = "Loose files: safetensors to write." };
        Option<double?> memory = CommonOptions.Memory();
        command.Arguments.Add(run);
        foreach (Option option in (Option[])[name, layer, blocks, unset, fresh, crosscoder, activations, scale, output, memory])
        {
            command.Options.Add(option);
        }

        new CommonOptions().Run(command, (parse, backend, progress, stop) =>
        {
            string?[] loose = [parse.GetValue(crosscoder), parse.GetValue(activations), parse.GetValue(output)];
            if (loose.All(v => v is null))
            {
                if (parse.GetValue(scale) is { } said)
                {
                    throw DiffractException.Argument($"--input-scale {said} belongs to the loose form; a run's crosscoder holds its own: give it to `diffract run --crosscoder`");
                }

                if (parse.GetValue(run) is not { } path)
                {
                    throw DiffractException.Argument("wanted a run folder (or the loose form: --crosscoder DIR --activations X.safetensors --out Y.safetensors); see `diffract scale --help`");
                }

                if (parse.GetValue(blocks) < 2)
                {
                    throw DiffractException.Argument($"--blocks {parse.GetValue(blocks)} is too small; wanted at least 2");
                }

                RunFolder folder = RunFolder.Open(path);
                ScaleStage.Run(new StageContext(folder, backend, progress, parse.GetValue(fresh), stop) { Memory = MemoryBudget.Of(parse.GetValue(memory)) }, new ScaleSettings
                {
                    Name = ScanInputs.Choose(folder, parse.GetValue(name), parse.GetValue(layer)),
                    Blocks = parse.GetValue(blocks),
                    AllowUnsetThreshold = parse.GetValue(unset),
                });
                return;
            }

            if (loose.Any(v => v is null) || parse.GetValue(run) is not null || parse.GetValue(name) is not null || parse.GetValue(layer) is not null || parse.GetValue(fresh))
            {
                throw DiffractException.Argument(
                    "loose files take --crosscoder DIR --activations X.safetensors --out Y.safetensors and no run folder, --name, --layer or --fresh; see `diffract scale --help`");
            }

            LooseScaling.Run(backend, progress, Places.Dictionary(loose[0]!, progress, stop), loose[1]!, loose[2]!, parse.GetValue(unset), InputScale.Parse(parse.GetValue(scale)), stop);
        });
        return command;
    }
}
