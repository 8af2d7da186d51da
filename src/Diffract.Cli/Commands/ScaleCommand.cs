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
              X holds x [N,2,D]; Y gets <target>.beta, .count_active, .nominator, .norm_f and .norm_d, each [L] float64, for base_ and chat_ activation,
              activation_no_bias, reconstruction and error; of an SAE for the two activations alone.
              --latents I.json writes the latents of a JSON array, in its order (latent_indices). --vectors random and random-latents are the two null baselines: a random
              direction, or another latent's, as long as the latent's own (latent_vectors, random_indices). --active-above T counts a code below T times the latent's
              maximum as 0, also in the reconstruction; maxima are unscaled. A latent that is never active has NaN.
            """);
        Argument<string?> run = new("run") { Description = "Run folder with tokens, activations and a trained crosscoder.", Arity = ArgumentArity.ZeroOrOne };
        Option<string?> name = new("--name") { Description = "Crosscoder. Default: the only one, else batchtopk." };
        Option<LayerPair?> layer = LayerOption.Of("Choose the crosscoder of this layer. Default: the crosscoder's own.");
        Option<int> blocks = new("--blocks") { Description = "Blocks of documents for the standard errors.", DefaultValueFactory = _ => 32 };
        Option<bool> unset = new("--allow-unset-threshold") { Description = "Go on with a BatchTopK crosscoder that has no threshold, with a dense code. Default: refuse." };
        Option<bool> fresh = new("--fresh") { Description = "Replace what is there. Default: keep it." };
        Option<string?> crosscoder = new("--crosscoder") { Description = "Loose files: crosscoder folder in any published layout (diffract export --help lists them)." };
        Option<string?> activations = new("--activations") { Description = "Loose files: safetensors with x [N,M,D]." };
        Option<string?> scale = new("--input-scale") { Description = "Loose files: for a crosscoder trained on scaled activations: one factor, one for each model (0.21,0.19), auto (the square root of the width over their mean norm), or none. Default: none; of published crosscoders in the layout blocks, auto where that explains more." };
        Option<string?> output = new("--out") { Description = "Loose files: safetensors to write." };
        LooseOptions variants = new(command);
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
                variants.Refuse(parse);
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
                    Code = variants.Code(parse),
                });
                return;
            }

            if (loose.Any(v => v is null) || parse.GetValue(run) is not null || parse.GetValue(name) is not null || parse.GetValue(layer) is not null || parse.GetValue(fresh))
            {
                throw DiffractException.Argument(
                    "loose files take --crosscoder DIR --activations X.safetensors --out Y.safetensors and no run folder, --name, --layer or --fresh; see `diffract scale --help`");
            }

            LooseReading dictionary = new()
            {
                Folder = Places.Dictionary(loose[0]!, progress, stop),
                Activations = loose[1]!,
                InputScale = InputScale.Parse(parse.GetValue(scale)),
                AllowUnsetThreshold = parse.GetValue(unset),
            };
            LooseScaling.Run(backend, progress, variants.Settings(parse, dictionary, loose[2]!), stop);
        });
        return command;
    }

    /// <summary>The variants of the loose form.</summary>
    sealed class LooseOptions
    {
        readonly Option<string> _vectors = new("--vectors") { Description = "Loose files: own, random or random-latents.", DefaultValueFactory = _ => "own" };
        readonly Option<string?> _vectorsFile = new("--vectors-file") { Description = "Loose files: safetensors with latent_vectors [latents written, D], for --vectors random. Default: drawn from --seed." };
        readonly Option<int> _seed = new("--seed") { Description = "Loose files: of drawn vectors.", DefaultValueFactory = _ => 42 };
        readonly Option<string?> _latents = new("--latents") { Description = "Loose files: JSON array of latents to write. Default: all." };
        readonly Option<double?> _activeAbove = new("--active-above") { Description = "Loose files: share T of the maximum below which a code counts as 0. Default: none does." };
        readonly Option<string?> _maxima = new("--maxima") { Description = "Loose files: safetensors with max_activation [L], unscaled, for --active-above. Default: the maxima over the rows taken." };
        readonly Option<string?> _code = new("--code") { Description = "base or chat: whose part of a decoupled code; loose files: or which model an SAE reads. Default: chat; of a decoupled code in loose files it must be said." };
        readonly Option<string?> _difference = new("--difference") { Description = "Loose files: chat-base or base-chat: what an SAE on differences reads. Default: no difference." };
        readonly Option<int?> _samples = new("--num-samples") { Description = "Loose files: so many rows. Default: all." };
        readonly Option<int> _offset = new("--n-offset") { Description = "Loose files: pass over this many times --num-samples first.", DefaultValueFactory = _ => 0 };
        readonly Option<string?> _published = new("--published") { Description = "Loose files: also write the published tools' files (betas_<target>_N…_n_offset….pt and so on) into this folder. Default: not written." };
        readonly Option<string?> _name = new("--suffix") { Description = "Loose files: end of the published files' names. Default: none." };

        public LooseOptions(Command command)
        {
            foreach (Option option in All)
            {
                command.Options.Add(option);
            }
        }

        Option[] All => [_vectors, _vectorsFile, _seed, _latents, _activeAbove, _maxima, _code, _difference, _samples, _offset, _published, _name];

        public string? Code(ParseResult parse) => parse.GetValue(_code);

        /// <summary>None of the others means anything in a run folder.</summary>
        public void Refuse(ParseResult parse)
        {
            if (All.FirstOrDefault(o => o != _code && parse.GetResult(o) is { Implicit: false }) is { } given)
            {
                throw DiffractException.Argument($"{given.Name} belongs to the loose form (--crosscoder DIR --activations X.safetensors --out Y.safetensors); see `diffract scale --help`");
            }
        }

        public LooseScalingSettings Settings(ParseResult parse, LooseReading dictionary, string output) => new()
        {
            Dictionary = dictionary with { Code = parse.GetValue(_code), Difference = parse.GetValue(_difference) },
            Out = output,
            Vectors = parse.GetValue(_vectors) switch
            {
                "own" => VectorChoice.Own,
                "random" => VectorChoice.Random,
                "random-latents" => VectorChoice.RandomLatents,
                var other => throw DiffractException.Argument($"--vectors {other} is unknown; wanted own, random or random-latents"),
            },
            VectorsFile = parse.GetValue(_vectorsFile),
            Seed = parse.GetValue(_seed),
            Latents = parse.GetValue(_latents),
            ActiveAbove = parse.GetValue(_activeAbove),
            Maxima = parse.GetValue(_maxima),
            Samples = parse.GetValue(_samples),
            Offset = parse.GetValue(_offset),
            Published = parse.GetValue(_published),
            Name = parse.GetValue(_name),
        };
    }
}
