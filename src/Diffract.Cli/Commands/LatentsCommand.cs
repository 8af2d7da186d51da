using System.CommandLine;
using Diffract.Latents;
using Diffract.Runs;

namespace Diffract.Cli.Commands;

/// <summary><c>diffract latents</c>: the latent table and sparse activations of a run's crosscoder.</summary>
static class LatentsCommand
{
    public static Command Create()
    {
        Command command = new("latents", """
            Writes latents/NAME of a run folder: a row for each latent (decoder norms, Delta-norm, class, firing rates by role, activations) and where it is active in the held-out text.
            Delta-norm is 1 for a chat-only latent; the published column dec_norm_diff is its complement. Activations are scaled: code times code norm.
            """);
        Argument<string> run = new("run") { Description = "Run folder with tokens, activations and a trained crosscoder." };
        Option<string?> name = new("--name") { Description = "Crosscoder. Default: the only one, else batchtopk." };
        Option<int?> layer = new("--layer") { Description = "Choose the crosscoder of this layer. Default: the crosscoder's own." };
        Option<bool> unset = new("--allow-unset-threshold") { Description = "Go on with a BatchTopK crosscoder that has no threshold: dense, and large on disk. Default: refuse." };
        Option<bool> fresh = new("--fresh") { Description = "Replace what is there. Default: keep it." };
        Option<double?> memory = CommonOptions.Memory();
        command.Arguments.Add(run);
        foreach (Option option in (Option[])[name, layer, unset, fresh, memory])
        {
            command.Options.Add(option);
        }

        new CommonOptions().Run(command, (parse, backend, progress, stop) =>
        {
            RunFolder folder = RunFolder.Open(parse.GetValue(run)!);
            LatentsStage.Run(
                new StageContext(folder, backend, progress, parse.GetValue(fresh), stop) { Memory = MemoryBudget.Of(parse.GetValue(memory)) },
                new LatentsSettings { Name = ScanInputs.Choose(folder, parse.GetValue(name), parse.GetValue(layer)), AllowUnsetThreshold = parse.GetValue(unset) });
        });
        return command;
    }
}
