using System.CommandLine;
using System.Globalization;
using Diffract.Activations;
using Diffract.Crosscoders;
using Diffract.Pipeline;
using Diffract.Runs;
using Diffract.Training;

namespace Diffract.Cli.Commands;

/// <summary><c>diffract train</c>: a crosscoder on the activations of a run, or on a loose file.</summary>
static class TrainCommand
{
    const string ListExample = """[{"kind": "l1", "mu": 0.04}, {"name": "wide", "latents": 8192}]""";

    public static Command Create()
    {
        Command command = new("train", $"""
            Trains a crosscoder on the activations of a run folder, into crosscoders/<name>/. Called again after a stop it goes on from the last checkpoint, to the same bits.
            What is not given comes from the preset (the values in brackets below are those of the loose form):
              demo   {Words(Preset.Demo)}
              paper  {Words(Preset.Paper)}

            Several at once: --k, --seed, --kind, --latents, --layer and --mu take lists (--kind batchtopk,l1 --seed 1,2 is four crosscoders), or --list FILE.json gives each its own options
              ({ListExample}). One pass over the activations feeds all with equal data, in the order of the first seed or of --order-seed; each has its own
              folder (batchtopk-s1, l1-s2, …), checkpoints and end, and trained alone with that --order-seed it gets the same bits.

            Without a store: --stream makes the activations of training tokens while it trains on them, of all layers from one pass of the models, and takes the place of `harvest`, whose smaller store it keeps for the
              stages that follow. A stopped call goes on to the same bits, which are those of `harvest` and `train`. The order is one for all: --order-seed, in a list the first seed.

            Loose files: diffract train --activations X.safetensors [--init W.safetensors] [--order stored|shuffled] --out DIR
              X: x [steps, B, M, D] (each entry is a batch) or [N, M, D] (consecutive batches of --batch tokens; a remainder is left out); models of different widths have a tensor
              each, x.0 [steps, B, D0] or [N, D0], x.1 and so on, and so have W and the result (encoder.weight.0 [D0, L], decoder.weight.0 [L, D0], decoder.bias.0 [D0]). W: first weights under published names
              (encoder.weight [M, D, L], encoder.bias [L], decoder.weight [M, L, D], decoder.bias [M, D]; also with the prefix init.), with k, threshold and code_normalization_id
              where it has them; --k and --code-norm win over those, a threshold that is set goes on. An encoder of fewer models than the decoder reads --encoder-models.
              Activations are normalised where W has activation_mean and activation_std without NaN. For --kind sae: x [steps, B, D] or [N, D]; W: encoder.weight [L, D], encoder.bias [L],
              decoder.weight [D, L], b_dec [D]. Steps default to one pass over X for each of --epochs; more steps than that are refused.
              DIR: model.safetensors, config.json, optimizer.safetensors (adam_m.*, adam_v.*, tokens_since_fired), log.jsonl (a line a step); checkpoints/ only with --checkpoint-every.
            """);
        Arguments arguments = new();
        arguments.AddTo(command);
        new CommonOptions().Run(command, (parse, backend, progress, stop) =>
        {
            if (parse.GetValue(arguments.Activations) is { } activations)
            {
                if (parse.GetValue(arguments.Run) is not null || parse.GetValue(arguments.Output) is null)
                {
                    throw DiffractException.Argument("loose files take --activations X.safetensors and --out DIR, and no run folder; see `diffract train --help`");
                }

                if (TrainVariants.Of(command, parse, parse.GetValue(arguments.List), _ => []).Count > 1)
                {
                    throw DiffractException.Argument("loose files train one crosscoder; a list of them takes a run folder, see `diffract train --help`");
                }

                LooseTraining.Run(arguments.Loose(parse, activations, arguments.Options(parse)), backend, progress, stop);
                return;
            }

            if (parse.GetValue(arguments.Run) is not { } folder || parse.GetValue(arguments.Output) is not null || parse.GetValue(arguments.Init) is not null)
            {
                throw DiffractException.Argument("wanted a run folder, or the loose form: --activations X.safetensors --out DIR (--init, --order and --epochs belong to it); see `diffract train --help`");
            }

            StageContext context = new(RunFolder.Open(folder), backend, progress, parse.GetValue(arguments.Fresh), stop) { Memory = MemoryBudget.Of(parse.GetValue(arguments.Memory)) };
            if (parse.GetValue(arguments.Stream))
            {
                StreamedTraining.Run(context, arguments.All(command, parse), new HarvestSettings { Storage = StorageKinds.Parse(parse.GetValue(arguments.Storage)!), KeepTokens = parse.GetValue(arguments.KeepTokens) });
                return;
            }

            foreach (Option option in (Option[])[arguments.KeepTokens, arguments.Storage])
            {
                if (parse.GetResult(option) is { Implicit: false })
                {
                    throw DiffractException.Argument($"{option.Name} belongs to --stream; without it the activations are those of `diffract harvest`");
                }
            }

            TrainStage.Run(context, arguments.All(command, parse));
        });
        return command;
    }

    /// <summary>What a preset decides, in one line.</summary>
    static string Words(Preset p)
    {
        string horizons = p.Fixed is { } f
            ? FormattableString.Invariant($"warm-up {f.Warmup} and threshold from {f.ThresholdFrom} steps, dead after {f.DeadAfter} tokens, at least {p.LeastSteps} steps")
            : FormattableString.Invariant($"of the steps {p.WarmupShare} warm-up, threshold from {p.ThresholdShare}, dead after {p.DeadShare}, decay from {p.DecayShare}; at least {p.LeastSteps} steps");
        return FormattableString.Invariant(
            $"latents {p.Expansion} x width, batch {p.Batch}, k {p.K}, mu {p.Mu} (l1) {p.MuJumpReLU} (jumprelu), lr {p.LearningRateL1} (l1) {p.LearningRateBatchTopK} (others), init norm {p.InitNormL1} (l1) {p.InitNormJumpReLU} (jumprelu) {p.InitNormBatchTopK} (batchtopk), {p.Passes} passes, threshold beta {p.ThresholdBeta}; {horizons}");
    }

    /// <summary>The verb's options, in the order of the help.</summary>
    sealed class Arguments
    {
        public Argument<string?> Run { get; } = new("run") { Description = "Run folder with activations.", Arity = ArgumentArity.ZeroOrOne };

        public Option<LayerPair?> Layer { get; } = LayerOption.Of("Activations of this block. Default: the only ones there are.", listed: true);

        public Option<string?> List { get; } = new("--list") { Description = "JSON file with a list of crosscoders to train in one pass, each with its own options." };

        public Option<string?> Name { get; } = new("--name") { Description = "Name of the crosscoder. Default: its kind; with -k32 or -s2 where that name is taken by another k or seed." };

        public Option<string> Preset { get; } = new("--preset")
        {
            Description = "Run folder: demo (shares of the run's own steps) or paper (the paper's Gemma runs; refused for too few tokens).",
            DefaultValueFactory = _ => "demo",
        };

        public Option<bool> Stream { get; } = new("--stream") { Description = "Run folder: make activations while training on them. Default: read those of `diffract harvest`." };

        public Option<string> Storage { get; } = new("--storage") { Description = "With --stream: what activations are rounded to, bf16, f32 or int8.", DefaultValueFactory = _ => "bf16" };

        public Option<long> KeepTokens { get; } = new("--keep-tokens")
        {
            Description = "With --stream: tokens of each split but training that are stored for later stages, of documents and chats each.",
            DefaultValueFactory = _ => StreamedTraining.DefaultKeepTokens,
        };

        public Option<bool> Fresh { get; } = new("--fresh") { Description = "Throw away what an earlier call made. Default: go on with it." };

        public Option<double?> Memory { get; } = CommonOptions.Memory();

        public Option<string?> Activations { get; } = new("--activations") { Description = "Loose files: activations to train on." };

        public Option<string?> Init { get; } = new("--init") { Description = "Loose files: first weights. Default: drawn." };

        public Option<string> Order { get; } = new("--order") { Description = "Loose files: stored, or shuffled (a new permutation for each pass).", DefaultValueFactory = _ => "stored" };

        public Option<int> Epochs { get; } = new("--epochs") { Description = "Loose files: passes over the file.", DefaultValueFactory = _ => 1 };

        public Option<string?> Output { get; } = new("--out") { Description = "Loose files: folder to write." };

        readonly Option<string?> _kind = new("--kind") { Description = "l1, batchtopk, jumprelu or sae (BatchTopK on one model). Default: batchtopk; loose with --init: sae if W has b_dec, batchtopk if W has k or an option of batchtopk is given, jumprelu if it has threshold alone, else l1." };
        readonly Option<int?> _latents = TrainVariants.List(new Option<int?>("--latents") { Description = "Size of the dictionary. [that of --init, else 32 times the width]" });
        readonly Option<int?> _k = TrainVariants.List(new Option<int?>("--k") { Description = "BatchTopK: active latents per token; JumpReLU: those that its thresholds begin with. [that of --init, else 100]" });
        readonly Option<double?> _mu = TrainVariants.List(new Option<double?>("--mu") { Description = "L1, JumpReLU: weight of the sparsity term. [0.1]" });
        readonly Option<double?> _bandwidth = new("--bandwidth") { Description = "JumpReLU: width of the kernel through which thresholds feel pairs, in units of the scaled activation of one of k equal latents. [0.5]" };
        readonly Option<double?> _bend = new("--bend") { Description = "JumpReLU: scaled activation at which the penalty bends over, in the same unit. [0.2]" };
        readonly Option<double?> _baseOnly = new("--base-only") { Description = "Latents that read and write the base model alone, by mask: a share below 1, or a number. [that of --init, else 0]" };
        readonly Option<double?> _chatOnly = new("--chat-only") { Description = "Latents that read and write the chat model alone, by mask, after those of the base: a share below 1, or a number. [that of --init, else 0]" };
        readonly Option<double?> _targetL0 = TrainVariants.List(new Option<double?>("--target-l0") { Description = "L1, JumpReLU: search the mu that leaves so many latents active per token, by short trainings on the same batches. [no search]" });
        readonly Option<long?> _searchSteps = new("--search-steps") { Description = "Steps of such a short training. [half of the steps, at least 100]" };
        readonly Option<double?> _lr = new("--lr") { Description = "Learning rate. [0.001]" };
        readonly Option<long?> _warmup = new("--warmup") { Description = "Steps over which the learning rate rises from 0; fewer than --steps where it is given. [1000]" };
        readonly Option<long?> _steps = new("--steps") { Description = "Steps. [all whole batches]" };
        readonly Option<int?> _batch = new("--batch") { Description = "Tokens of a batch. [that of X, else 2048]" };
        readonly Option<string?> _codeNorm = new("--code-norm") { Description = "crosscoder (sum of the decoder norms), sae (length of all models' vectors together), mixed, none, or decoupled (BatchTopK selects for each model). [that of --init, else crosscoder]" };
        readonly Option<string?> _target = new("--target") { Description = "SAE in a run folder: base (of documents), chat, difference_bc (base - chat) or difference_cb (of chats)." };
        readonly Option<bool> _normalise = new("--normalise") { Description = "Train on activations less their mean, scaled by model to --target-rms; statistics of the first 262,144 training tokens (loose: of the file). [off; with --init as W says]" };
        readonly Option<double?> _targetRms = new("--target-rms") { Description = "Root mean square of normalised activations. [1]" };
        readonly Option<double?> _mixedAlphaSae = new("--mixed-alpha-sae") { Description = "Code norm mixed: weight of sae. [1]" };
        readonly Option<double?> _mixedAlphaCc = new("--mixed-alpha-cc") { Description = "Code norm mixed: weight of crosscoder. [0.1]" };
        readonly Option<string?> _encoderModels = new("--encoder-models") { Description = "Models that the encoder reads, as 0 or 0,1; all are decoded. [all; with --init as many as its encoder has]" };
        readonly Option<int?> _kInitial = new("--k-initial") { Description = "BatchTopK: k of the first step, from which it goes to --k. [k]" };
        readonly Option<long?> _kAnnealingSteps = new("--k-annealing-steps") { Description = "BatchTopK: steps from --k-initial to --k. [0]" };
        readonly Option<long?> _resampleSteps = new("--resample-steps") { Description = "L1: steps between two resamplings of dead latents; the learning rate rises anew after each. [never]" };
        readonly Option<double?> _encoderInitNorm = new("--encoder-init-norm") { Description = "SAE: length of the encoder's first vectors. [1]" };
        readonly Option<string?> _loss = new("--loss") { Description = "norm (length of the error) or mse. [norm]" };
        readonly Option<double?> _clip = new("--clip") { Description = "Largest norm of all gradients; 0 for no clipping. [0 for l1, else 1]" };
        readonly Option<int?> _kAux = new("--k-aux") { Description = "BatchTopK, JumpReLU: dead latents per token in the auxiliary loss. [half the width]" };
        readonly Option<double?> _auxAlpha = new("--aux-alpha") { Description = "BatchTopK, JumpReLU: weight of the auxiliary loss. [0.03125]" };
        readonly Option<long?> _deadAfter = new("--dead-after") { Description = "Tokens without firing after which a latent is dead. [10000000]" };
        readonly Option<long?> _thresholdFrom = new("--threshold-from") { Description = "BatchTopK: the inference threshold follows the steps above this one. [1000]" };
        readonly Option<double?> _thresholdBeta = new("--threshold-beta") { Description = "BatchTopK: share of the threshold that a step keeps. [0.999]" };
        readonly Option<long?> _decayStart = new("--decay-start") { Description = "Step from which the learning rate falls to 0 at the end. [never]" };
        readonly Option<int?> _seed = TrainVariants.List(new Option<int?>("--seed") { Description = "Decides first weights and order. [42]" });
        readonly Option<int?> _orderSeed = new("--order-seed") { Description = "Run folder: decides the order of the batches. Default: --seed, in a list the first." };
        readonly Option<int?> _window = new("--window") { Description = "Run folder: tokens of the split that are shuffled among each other, and that --stream makes at a time and holds in memory. [262144]" };
        readonly Option<bool?> _sameInit = new("--same-init") { Description = "Begin with the same weights for all models; false draws for each. [true; false for models of different widths]" };
        readonly Option<bool> _transposeInit = new("--init-with-transpose") { Description = "Begin with the decoder as the encoder's transpose; false draws it. [true]", DefaultValueFactory = _ => true };
        readonly Option<double?> _initNorm = new("--init-norm") { Description = "Length of the first vectors; 0 leaves the draws as they are. [1 for batchtopk, 0.5 for jumprelu, 0.005 for l1]" };
        readonly Option<long?> _checkpointEvery = new("--checkpoint-every") { Description = "Steps between two checkpoints. Default: a tenth of a run folder's training; none for loose files." };
        readonly Option<bool> _tensorBoard = new("--tensorboard") { Description = "Also write the log as a TensorBoard event file. Default: log.jsonl only." };
        readonly Option<bool> _otherPath = new("--allow-other-path") { Description = "Go on from a checkpoint of another CPU path, whose rounding differs. Default: refuse." };

        public void AddTo(Command command)
        {
            command.Arguments.Add(Run);
            foreach (Option option in (Option[])[
                Layer, Name, List, Preset, Stream, Storage, KeepTokens, Fresh, _kind, _latents, _k, _mu, _targetL0, _searchSteps, _bandwidth, _bend, _baseOnly, _chatOnly, _lr, _warmup, _steps, _batch, _target, _normalise, _targetRms, _codeNorm, _mixedAlphaSae, _mixedAlphaCc,
                _encoderModels, _kInitial, _kAnnealingSteps, _resampleSteps, _encoderInitNorm, _loss, _clip, _kAux, _auxAlpha, _deadAfter, _thresholdFrom,
                _thresholdBeta, _decayStart, _seed, _orderSeed, _window, _sameInit, _transposeInit, _initNorm, _checkpointEvery, _tensorBoard, _otherPath, Memory, Activations, Init, Order, Epochs, Output])
            {
                command.Options.Add(option);
            }

            TrainVariants.FromAmong(_kind, [.. CrosscoderKinds.All, "sae"]);
            _codeNorm.AcceptOnlyFromAmong("crosscoder", "sae", "mixed", "none", "decoupled");
            _loss.AcceptOnlyFromAmong("norm", "mse");
            Order.AcceptOnlyFromAmong("stored", "shuffled");
            Preset.AcceptOnlyFromAmong("demo", "paper");
        }

        public TrainOptions Options(ParseResult parse) => new()
        {
            Kind = parse.GetValue(_kind) == "sae" ? CrosscoderKind.BatchTopK : CrosscoderKinds.FromName(parse.GetValue(_kind)),
            Sae = parse.GetValue(_kind) == "sae",
            Latents = parse.GetValue(_latents),
            K = parse.GetValue(_k),
            Mu = parse.GetValue(_mu),
            Bandwidth = parse.GetValue(_bandwidth),
            Bend = parse.GetValue(_bend),
            BaseOnly = parse.GetValue(_baseOnly),
            ChatOnly = parse.GetValue(_chatOnly),
            TargetL0 = parse.GetValue(_targetL0),
            SearchSteps = parse.GetValue(_searchSteps),
            LearningRate = parse.GetValue(_lr),
            Warmup = parse.GetValue(_warmup),
            Steps = parse.GetValue(_steps),
            Batch = parse.GetValue(_batch),
            CodeNorm = parse.GetValue(_codeNorm) is { } norm ? CodeNormIds.FromName(norm) : null,
            Target = parse.GetValue(_target) is { } target ? SaeTargets.Of(target) : null,
            Normalise = parse.GetValue(_normalise),
            TargetRms = parse.GetValue(_targetRms),
            MixedAlphaSae = parse.GetValue(_mixedAlphaSae),
            MixedAlphaCc = parse.GetValue(_mixedAlphaCc),
            EncoderModels = ParseModels(parse.GetValue(_encoderModels)),
            KInitial = parse.GetValue(_kInitial),
            KAnnealingSteps = parse.GetValue(_kAnnealingSteps),
            ResampleEvery = parse.GetValue(_resampleSteps),
            EncoderInitNorm = parse.GetValue(_encoderInitNorm),
            Loss = parse.GetValue(_loss) switch { "norm" => LossKind.Norm, "mse" => LossKind.Mse, _ => null },
            Clip = parse.GetValue(_clip),
            KAux = parse.GetValue(_kAux),
            AuxAlpha = parse.GetValue(_auxAlpha),
            DeadAfter = parse.GetValue(_deadAfter),
            ThresholdFrom = parse.GetValue(_thresholdFrom),
            ThresholdBeta = parse.GetValue(_thresholdBeta),
            DecayStart = parse.GetValue(_decayStart),
            Seed = parse.GetValue(_seed) ?? new TrainOptions().Seed,
            OrderSeed = parse.GetValue(_orderSeed),
            Window = parse.GetValue(_window),
            SameInit = parse.GetValue(_sameInit),
            TransposeInit = parse.GetValue(_transposeInit),
            InitNorm = parse.GetValue(_initNorm),
            CheckpointEvery = parse.GetValue(_checkpointEvery),
            TensorBoard = parse.GetValue(_tensorBoard),
            AllowOtherPath = parse.GetValue(_otherPath),
        };

        static int[]? ParseModels(string? list)
        {
            if (list is null)
            {
                return null;
            }

            string[] parts = list.Split(',', StringSplitOptions.TrimEntries);
            return parts.All(p => int.TryParse(p, NumberStyles.None, CultureInfo.InvariantCulture, out _))
                ? [.. parts.Select(p => int.Parse(p, CultureInfo.InvariantCulture)).Order()]
                : throw DiffractException.Argument($"--encoder-models {list} is not a list of models; wanted numbers, as 0 or 0,1");
        }

        /// <summary>Every crosscoder that a call asks for.</summary>
        public IReadOnlyList<TrainSettings> All(Command command, ParseResult parse)
        {
            IReadOnlyList<(ParseResult Call, string Suffix)> calls = TrainVariants.Of(command, parse, parse.GetValue(List), call => Options(call).WithoutEffect(Options(call).Kind ?? CrosscoderKind.BatchTopK));
            int? order = calls.Count > 1 ? Options(calls[0].Call).Seed : null;
            return [.. calls.Select(c =>
            {
                TrainOptions options = Options(c.Call);
                string? given = c.Call.GetValue(Name);
                string kind = c.Call.GetValue(_kind) ?? "batchtopk";
                // A name of the list's own entry stands as it is; one for all is a beginning.
                string? name = calls.Count == 1 ? given : given is not null && given != parse.GetValue(Name) ? given : (given is null ? kind : $"{given}-{kind}") + c.Suffix;
                return new TrainSettings { Layer = c.Call.GetValue(Layer), Name = name, Preset = c.Call.GetValue(Preset)!, Options = options with { OrderSeed = options.OrderSeed ?? order } };
            })];
        }

        public LooseTrainSettings Loose(ParseResult parse, string activations, TrainOptions options) => new(activations, parse.GetValue(Output)!, options)
        {
            Init = parse.GetValue(Init),
            Shuffled = parse.GetValue(Order) == "shuffled",
            Epochs = parse.GetValue(Epochs),
            Fresh = parse.GetValue(Fresh),
            Memory = MemoryBudget.Of(parse.GetValue(Memory)),
        };
    }
}
