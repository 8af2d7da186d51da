using System.CommandLine;
using Diffract.Compute.Kernels;
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

            Loose files: diffract latents --crosscoder DIR [--against DIR2] --out T.csv
              The table from weights alone, under the published names: tag, delta_norm (1 = chat-only) and dec_norm_diff (0 = chat-only), norms and cosines of decoder and encoder; of
              an SAE dec_norm and enc_norm. --against adds for each latent the largest cosine of its decoder row to any of DIR2's, in either model, and whose. --table keeps the
              other columns of a feature_df.csv. --sets writes the published sets of latents, drawn as numpy draws them, as .json for `scale --latents` and as .pt.
            """);
        Argument<string?> run = new("run") { Description = "Run folder with tokens, activations and a trained crosscoder.", Arity = ArgumentArity.ZeroOrOne };
        Option<string?> name = new("--name") { Description = "Crosscoder. Default: the only one, else batchtopk." };
        Option<int?> layer = new("--layer") { Description = "Choose the crosscoder of this layer. Default: the crosscoder's own." };
        Option<bool> unset = new("--allow-unset-threshold") { Description = "Go on with a BatchTopK crosscoder that has no threshold: dense, and large on disk. Default: refuse." };
        Option<bool> fresh = new("--fresh") { Description = "Replace what is there. Default: keep it." };
        Option<double?> memory = CommonOptions.Memory();
        Option<string?> crosscoder = new("--crosscoder") { Description = "Loose files: folder of a crosscoder or SAE in any published layout, or its name on the hub." };
        Option<string?> output = new("--out") { Description = "Loose files: CSV to write." };
        Option<string?> against = new("--against") { Description = "Loose files: another dictionary, for the largest cosines. Default: none." };
        Option<string?> table = new("--table") { Description = "Loose files: a feature_df.csv whose other columns are kept. Default: none." };
        Option<string?> sets = new("--sets") { Description = "Loose files: folder for the published sets of latents. Default: not written." };
        Option<int> lowest = new("--low-norm-diff-sample-size") { Description = "Loose files: latents in the set of the smallest dec_norm_diff, and in the shared baseline; -1: as many as are chat-only.", DefaultValueFactory = _ => 3176 };
        Option<int> sample = new("--shared-sample-size") { Description = "Loose files: latents in the sample of the shared ones.", DefaultValueFactory = _ => 1000 };
        Option<long> seed = new("--seed") { Description = "Loose files: of both samples, for numpy's legacy generator.", DefaultValueFactory = _ => 42 };
        command.Arguments.Add(run);
        foreach (Option option in (Option[])[name, layer, unset, fresh, memory, crosscoder, output, against, table, sets, lowest, sample, seed])
        {
            command.Options.Add(option);
        }

        new CommonOptions().Run(command, (parse, backend, progress, stop) =>
        {
            if (parse.GetValue(run) is not { } path)
            {
                Loose(parse, backend, progress, stop);
                return;
            }

            Option[] loose = [crosscoder, output, against, table, sets, lowest, sample, seed];
            if (loose.FirstOrDefault(o => parse.GetResult(o) is { Implicit: false }) is { } given)
            {
                throw DiffractException.Argument($"{given.Name} belongs to the loose form (--crosscoder DIR --out T.csv), which takes no run folder; see `diffract latents --help`");
            }

            RunFolder folder = RunFolder.Open(path);
            LatentsStage.Run(
                new StageContext(folder, backend, progress, parse.GetValue(fresh), stop) { Memory = MemoryBudget.Of(parse.GetValue(memory)) },
                new LatentsSettings { Name = ScanInputs.Choose(folder, parse.GetValue(name), parse.GetValue(layer)), AllowUnsetThreshold = parse.GetValue(unset) });
        });
        return command;

        void Loose(ParseResult parse, IBackend backend, IProgressSink progress, CancellationToken stop)
        {
            if (parse.GetValue(crosscoder) is not { } given || parse.GetValue(output) is not { } to)
            {
                throw DiffractException.Argument("wanted a run folder (or the loose form: --crosscoder DIR --out T.csv); see `diffract latents --help`");
            }

            if (parse.GetValue(name) is not null || parse.GetValue(layer) is not null || parse.GetValue(fresh))
            {
                throw DiffractException.Argument("--name, --layer and --fresh belong to a run folder; leave them out of the loose form");
            }

            if (parse.GetValue(lowest) < -1 || parse.GetValue(sample) < 0 || parse.GetValue(seed) is < 0 or > uint.MaxValue)
            {
                throw DiffractException.Argument($"--low-norm-diff-sample-size wants -1 or more, --shared-sample-size 0 or more, --seed 0 to {uint.MaxValue}");
            }

            LooseLatents.Run(backend, progress, new LooseLatentsSettings
            {
                Folder = Places.Dictionary(given, progress, stop),
                Out = to,
                Against = parse.GetValue(against) is { } other ? Places.Dictionary(other, progress, stop) : null,
                Table = parse.GetValue(table),
                Sets = parse.GetValue(sets),
                Lowest = parse.GetValue(lowest),
                Sample = parse.GetValue(sample),
                Seed = (uint)parse.GetValue(seed),
            }, stop);
        }
    }
}
