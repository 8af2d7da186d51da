using System.CommandLine;
using Diffract.Compute.Kernels;
using Diffract.Crosscoders;
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
              other columns of a feature_df.csv. --activations X.safetensors adds max_act_val (scaled) and freq_val; with --ids O.jsonl, as tokenize writes it, also the statistics of
              template tokens by control token (lmsys_ctrl_freq and so on) where lines have roles; --template writes their files, --cache the sparse activations, as published. --sets writes the published sets of latents, drawn as numpy draws them, as .json for `scale --latents` and as .pt.
            """);
        Argument<string?> run = new("run") { Description = "Run folder with tokens, activations and a trained crosscoder.", Arity = ArgumentArity.ZeroOrOne };
        Option<string?> name = new("--name") { Description = "Crosscoder. Default: the only one, else batchtopk." };
        Option<LayerPair?> layer = LayerOption.Of("Choose the crosscoder of this layer. Default: the crosscoder's own.");
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
        Option<string?> activations = new("--activations") { Description = "Loose files: safetensors with x [N, 2, D], base and chat. Default: weights alone." };
        Option<string?> ids = new("--ids") { Description = "Loose files: JSON lines with ids (and roles) of the same tokens. Default: none." };
        Option<string?> cache = new("--cache") { Description = "Loose files: folder for out_acts.pt, out_ids.pt and so on. Default: not written." };
        Option<string?> cacheLatents = new("--cache-latents") { Description = "Loose files: JSON array of the latents in the cache. Default: all." };
        Option<int> pad = new("--pad-id") { Description = "Loose files: fills the cache's sequences up.", DefaultValueFactory = _ => 0 };
        Option<string?> template = new("--template") { Description = "Loose files: folder for stats.csv, counts.json, latent_stats.csv and latent_stats_global.csv. Default: not written." };
        Option<string?> code = new("--code") { Description = "Loose files: base or chat: whose part of a decoupled code, or which model an SAE reads. Default: both parts; an SAE reads chat." };
        Option<string?> difference = new("--difference") { Description = "Loose files: chat-base or base-chat: what an SAE on differences reads. Default: no difference." };
        Option<string?> scale = new("--input-scale") { Description = "Loose files: as `diffract encode` has it. Default: none; of published crosscoders in the layout blocks, auto where that explains more." };
        command.Arguments.Add(run);
        foreach (Option option in (Option[])[name, layer, unset, fresh, memory, crosscoder, output, against, table, sets, lowest, sample, seed, activations, ids, cache, cacheLatents, pad, template, code, difference, scale])
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

            Option[] loose = [crosscoder, output, against, table, sets, lowest, sample, seed, activations, ids, cache, cacheLatents, pad, template, code, difference, scale];
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

            if (parse.GetValue(activations) is null && new Option[] { ids, cache, template, code, difference, scale }.FirstOrDefault(o => parse.GetResult(o) is { Implicit: false }) is { } alone)
            {
                throw DiffractException.Argument($"{alone.Name} belongs to --activations; give both");
            }

            if (parse.GetValue(ids) is null && (parse.GetValue(cache) ?? parse.GetValue(template)) is not null)
            {
                throw DiffractException.Argument("--cache and --template want --ids, the tokens that the activations belong to");
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
                Activations = parse.GetValue(activations),
                Ids = parse.GetValue(ids),
                Cache = parse.GetValue(cache),
                CacheLatents = parse.GetValue(cacheLatents),
                PadId = parse.GetValue(pad),
                Template = parse.GetValue(template),
                InputScale = InputScale.Parse(parse.GetValue(scale)),
                AllowUnsetThreshold = parse.GetValue(unset),
                Code = parse.GetValue(code),
                Difference = parse.GetValue(difference),
            }, stop);
        }
    }
}
