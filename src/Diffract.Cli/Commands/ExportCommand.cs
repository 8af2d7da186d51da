using System.CommandLine;
using Diffract.Crosscoders;

namespace Diffract.Cli.Commands;

/// <summary><c>diffract export</c>: a crosscoder in another published layout.</summary>
static class ExportCommand
{
    public static Command Create()
    {
        Command command = new("export", """
            Writes a crosscoder or SAE in another published layout.

            Loose files: diffract export --crosscoder DIR --to hub|local|blocks|saelens|sparsify --out DIR
              Reads every layout that the other verbs read, told by its files: model.safetensors and config.json (hub); model_final.pt, ae.pt or checkpoint_<step>.pt and config.json
              (local); cc_weights.pt and cfg.json (blocks); sae_weights.safetensors and cfg.json (SAELens); sae.safetensors and cfg.json (sparsify); model.pt and config.json
              with n_a and n_b (dedicated latents, read only). Weights keep their bits. What a layout cannot hold is refused by name: blocks takes L1 crosscoders with code norm
              CROSSCODER, saelens and sparsify take SAEs.
            """);
        Option<string> crosscoder = new("--crosscoder") { Description = "Folder or hub name to read.", Required = true };
        Option<string> layout = new("--to") { Description = "Layout to write: hub, local, blocks, saelens or sparsify.", Required = true };
        Option<string> output = new("--out") { Description = "Folder to write.", Required = true };
        command.Options.Add(crosscoder);
        command.Options.Add(layout);
        command.Options.Add(output);
        new CommonOptions().Run(command, (parse, backend, progress, stop) =>
            LooseExport.Run(Places.Dictionary(parse.GetValue(crosscoder)!, progress, stop), parse.GetValue(layout)!, parse.GetValue(output)!, backend, progress));
        return command;
    }
}
