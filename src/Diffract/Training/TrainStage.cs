using System.Diagnostics;
using System.Globalization;
using System.Text.Json.Nodes;
using Diffract.Activations;
using Diffract.Crosscoders;
using Diffract.Runs;
using Diffract.Tokens;

namespace Diffract.Training;

/// <summary>The training stage: a crosscoder on the training split of a run's activations, into <c>crosscoders/&lt;name&gt;/</c>.</summary>
public static class TrainStage
{
    /// <summary>Held-out tokens of the validations on the way; the last one takes the preset's number.</summary>
    const long TokensOnTheWay = 16_384;

    const int ValidationsOnTheWay = 4;

    const int Checkpoints = 10;

    public static void Run(StageContext context, TrainSettings settings)
    {
        TrainOptions options = settings.Options;
        CrosscoderKind kind = options.Kind ?? CrosscoderKind.BatchTopK;
        Preset preset = Preset.Of(settings.Preset);
        int layer = OnlyLayer(context.Run, settings.Layer);
        using TokenStore tokens = TokenStore.Open(context.Run);
        using ActivationStore store = ActivationStore.Open(context.Run, layer);
        ShuffledBatches source = new(store, tokens, options.Seed);
        TrainingConfig config = preset.Configure(kind, [.. store.Widths], source.DistinctTokens, options);
        CrosscoderInit init = options.Init(preset.InitNorm(kind));
        string name = settings.Name ?? DefaultName(context, config, options.Seed);
        string folder = context.Run.Crosscoder(name);
        StageManifest plan = Plan(context.Run, tokens, store, preset, config, init, options.Seed);
        if (context.AlreadyDone(folder, plan))
        {
            context.Progress.Done("train", $"crosscoder {name} is there already");
            return;
        }

        TrainingPlan.WarnUnused(options, kind, context.Progress);
        TrainingPlan.RequireMemory(config);
        TrainingPlan.RequireDisk(config, context.Run.Root);
        Work work = new(context, store, tokens, source, config, init, options, preset.ValidationTokens, folder);
        work.Run(name, plan);
    }

    /// <summary>The kind; where that name is taken by a crosscoder of another k or seed, with -k32 or -s2 for what differs.</summary>
    static string DefaultName(StageContext context, TrainingConfig config, int seed)
    {
        JsonObject settings = config.ToJson();
        string kind = (string)settings["kind"]!;
        if (context.Fresh || StageContext.SettingsOf(context.Run.Crosscoder(kind)) is not { } taken)
        {
            return kind;
        }

        string otherK = JsonNode.DeepEquals(taken["k"], settings["k"]) ? "" : $"-k{config.Crosscoder.K}";
        return kind + otherK + ((int?)taken["seed"] == seed ? "" : $"-s{seed}");
    }

    /// <summary>The layer asked for, or the only one that was harvested.</summary>
    static int OnlyLayer(RunFolder run, int? layer)
    {
        if (layer is { } wanted)
        {
            return wanted;
        }

        IReadOnlyList<string> names = run.Names("activations");
        return names.Count switch
        {
            1 => int.Parse(names[0], CultureInfo.InvariantCulture),
            0 => throw new DiffractException($"{run.Root} has no activations; run `diffract harvest {run.Root}` first"),
            _ => throw DiffractException.Argument($"{run.Root} has activations of the layers {string.Join(", ", names)}; choose one with --layer"),
        };
    }

    static StageManifest Plan(RunFolder run, TokenStore tokens, ActivationStore store, Preset preset, TrainingConfig config, CrosscoderInit init, int seed)
    {
        JsonObject settings = config.ToJson();
        settings["layer"] = store.Layer;
        settings["preset"] = preset.Name;
        settings["seed"] = seed;
        settings["sameInit"] = init.SameForAllModels;
        settings["initWithTranspose"] = init.Transpose;
        settings["initNorm"] = init.Norm;
        settings["shuffleWindow"] = ShuffledBatches.DefaultWindow;
        settings["validationTokens"] = preset.ValidationTokens;
        return new StageManifest
        {
            Stage = "train",
            Settings = settings,
            Inputs =
            {
                [run.Relative(run.Tokens)] = tokens.Manifest.Fingerprint(),
                [run.Relative(run.Activations(store.Layer))] = store.Manifest.Fingerprint(),
            },
        };
    }

    /// <summary>The training itself, from the last checkpoint to the manifest.</summary>
    sealed record Work(
        StageContext Context, ActivationStore Store, TokenStore Tokens, ShuffledBatches Source, TrainingConfig Config, CrosscoderInit Init,
        TrainOptions Options, long ValidationTokens, string Folder)
    {
        long? CheckpointEvery => Options.CheckpointEvery;

        public void Run(string name, StageManifest plan)
        {
            Stopwatch clock = Stopwatch.StartNew();
            IProgressSink progress = Context.Progress;
            using Crosscoder crosscoder = new(Config.Crosscoder, Context.Backend);
            Init.Apply(crosscoder);
            using Trainer trainer = new(Config, crosscoder, Source);
            string checkpointFolder = Path.Combine(Folder, Training.Checkpoints.FolderName);
            Training.Checkpoints checkpoints = new(checkpointFolder, plan.Settings, keepAll: CheckpointEvery is not null) { AllowOtherPath = Options.AllowOtherPath };
            string logPath = Path.Combine(Folder, TrainingLog.FileName);
            long keep = checkpoints.Restore(trainer.State, crosscoder, logPath, progress) ?? 0;
            long first = trainer.State.Step;
            double[] gamma = TrainingPlan.Announce(Config, crosscoder, Source, first, progress);
            double secondsBefore = clock.Elapsed.TotalSeconds;
            double trainingSeconds;
            ValidationResult result;
            using (TrainingLog log = new(logPath, keep, Options.TensorBoard))
            {
                trainer.Run(
                    new TrainingOutputs(log, "train " + name)
                    {
                        Checkpoints = checkpoints,
                        CheckpointEvery = CheckpointEvery ?? Every(Training.TrainStage.Checkpoints),
                        Validation = new Validation(new HeldOutRows(Store, Tokens, TokensOnTheWay), TokensOnTheWay),
                        ValidateEvery = Every(ValidationsOnTheWay),
                    },
                    progress,
                    Context.Stop);
                trainingSeconds = clock.Elapsed.TotalSeconds - secondsBefore;
                result = new Validation(new HeldOutRows(Store, Tokens, ValidationTokens), ValidationTokens).Run(crosscoder, Context.Stop);
                log.Write(trainer.State.Step, result);
                log.Flush();
            }

            Dictionary<string, FileSeal> outputs = CrosscoderFolder.Save(Folder, crosscoder, Init);
            outputs[OptimizerFile.Name] = OptimizerFile.Save(Folder, trainer.State, crosscoder);
            outputs[TrainingLog.FileName] = AtomicFile.Seal(logPath);
            JsonObject facts = Facts(result, crosscoder, gamma);
            facts["kernelPaths"] = new JsonArray([.. checkpoints.Paths.Append(Context.Backend.KernelPath).Distinct().Select(p => (JsonNode)p)]);
            facts["secondsPerStep"] = Config.Steps > first ? trainingSeconds / (Config.Steps - first) : 0;
            Context.Finish(Folder, plan with { Outputs = outputs, Facts = facts, Seconds = clock.Elapsed.TotalSeconds });
            if (CheckpointEvery is null && Directory.Exists(checkpointFolder))
            {
                Directory.Delete(checkpointFolder, recursive: true);
            }

            progress.Done("train", Summary(name, result, crosscoder));
        }

        long Every(int parts) => Math.Max(1, (Config.Steps + parts - 1) / parts);

        JsonObject Facts(ValidationResult result, Crosscoder crosscoder, double[] gamma)
        {
            JsonObject facts = result.ToJson();
            facts["threshold"] = crosscoder.Config.Kind == CrosscoderKind.BatchTopK ? crosscoder.Threshold : null;
            facts["gamma"] = new JsonArray([.. gamma.Select(g => (JsonNode)g)]);
            facts["trainingTokens"] = Source.DistinctTokens;
            facts["presentedTokens"] = Config.Steps * Config.Batch;
            return facts;
        }

        static string Summary(string name, ValidationResult result, Crosscoder crosscoder)
        {
            string byModel = string.Join(", ", result.FveByModel.Select(f => f.ToString("F3", CultureInfo.InvariantCulture)));
            string k = crosscoder.Config.Kind == CrosscoderKind.BatchTopK
                ? string.Create(CultureInfo.InvariantCulture, $" (k {crosscoder.Config.K}, threshold {crosscoder.Threshold:G4})")
                : "";
            return string.Create(
                CultureInfo.InvariantCulture,
                $"{name}: on {result.Tokens:N0} held-out tokens variance explained {result.FvePooled:F3} (by model {byModel}), L0 {result.L0:F1}{k}, dead {result.DeadShare:P1}; latents almost of one model by norm: {string.Join(", ", result.SpecificLatents)}");
        }
    }
}
