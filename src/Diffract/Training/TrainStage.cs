using System.Globalization;
using System.Text.Json.Nodes;
using Diffract.Activations;
using Diffract.Compute.Buffers;
using Diffract.Crosscoders;
using Diffract.Runs;
using Diffract.Tokens;

namespace Diffract.Training;

/// <summary>The training stage: crosscoders on the training split of a run's activations, each into <c>crosscoders/&lt;name&gt;/</c>.</summary>
public static class TrainStage
{
    public static void Run(StageContext context, TrainSettings settings) => Run(context, [settings]);

    /// <summary>Trains all that are asked for in one pass over the activations, with equal data for all. Those that are there already are left alone; each goes on from its own checkpoint.</summary>
    public static void Run(StageContext context, IReadOnlyList<TrainSettings> list)
    {
        using TokenStore tokens = TokenStore.Open(context.Run);
        using TrainData data = new(context.Run, tokens);
        List<TrainWork> works = [];
        HashSet<string> names = new(StringComparer.Ordinal);
        foreach (TrainSettings settings in list)
        {
            TrainWork? work = Prepare(context, data, settings, names);
            if (work is not null)
            {
                works.Add(work);
            }
        }

        if (works.Count == 0)
        {
            return;
        }

        foreach (TrainWork work in works)
        {
            TrainingPlan.WarnUnused(work.Options, work.Config.Crosscoder.Kind, context.Progress);
        }

        TrainingConfig[] configs = [.. works.Select(w => w.Config)];
        TrainingPlan.RequireMemory(context.Memory, configs);
        TrainingPlan.RequireDisk(configs, context.Run.Root);
        if (works.Count > 1)
        {
            context.Progress.Line($"train: {works.Count} crosscoders from one pass over the activations, {TrainingPlan.Size(TrainingPlan.Bytes(configs))} of memory together");
        }

        try
        {
            SharedPass.Run([.. works.Select(w => w.Begin())], works.Count == 1 ? works[0].What : $"train {works.Count} crosscoders", context.Progress, context.Stop);
        }
        finally
        {
            works.ForEach(w => w.Dispose());
        }
    }

    /// <summary>Null where that crosscoder is there already.</summary>
    static TrainWork? Prepare(StageContext context, TrainData data, TrainSettings settings, HashSet<string> names)
    {
        TrainOptions options = settings.Options;
        CrosscoderKind kind = options.Kind ?? CrosscoderKind.BatchTopK;
        Preset preset = Preset.Of(settings.Preset);
        TrainData.Layer layer = data.Of(OnlyLayer(context.Run, settings.Layer));
        options.Check();
        if (options.Sae && options.Target is null)
        {
            throw DiffractException.Argument($"--kind sae wants a --target: {string.Join(", ", SaeTargets.Names)}");
        }

        IBatchSource source = layer.Source(options.OrderSeed ?? options.Seed, options.Target);
        int[] widths = [.. source.ModelOffsets.Skip(1).Zip(source.ModelOffsets, (end, begin) => end - begin)];
        TrainingConfig config = preset.Configure(kind, widths, source.DistinctTokens, options);
        CrosscoderInit init = options.Init(preset.InitNorm(kind), widths);
        string name = settings.Name ?? DefaultName(context, config, options);
        if (!names.Add(name))
        {
            throw DiffractException.Argument($"two crosscoders of the list are called {name}; give each a name of its own");
        }

        string folder = context.Run.Crosscoder(name);
        JsonArray? trials = null;
        if (options.TargetL0 is { } target && kind != CrosscoderKind.BatchTopK)
        {
            (double mu, trials) = SearchedMu(context, folder, options) ?? Search("train " + name, config, target, source, init, context, options, layer);
            config = config with { Mu = mu };
        }

        StageManifest plan = Plan(context.Run, data.Tokens, layer.Store, preset, config, init, options, trials);
        if (context.AlreadyDone(folder, plan))
        {
            context.Progress.Done("train", $"crosscoder {name} is there already");
            return null;
        }

        return new TrainWork(context, layer, source, config, init, options, preset.ValidationTokens, name, folder, plan);
    }

    /// <summary>The mu that an earlier call of the same search found, so that a resumed training need not search again.</summary>
    static (double Mu, JsonArray Trials)? SearchedMu(StageContext context, string folder, TrainOptions options)
        => !context.Fresh && StageContext.SettingsOf(folder) is { } made && (double?)made["targetL0"] == options.TargetL0 && (long?)made["searchSteps"] == options.SearchSteps && made["muTrials"] is JsonArray trials
            ? ((double)made["mu"]!, trials.DeepClone().AsArray())
            : null;

    static (double Mu, JsonArray Trials) Search(
        string what, TrainingConfig config, double target, IBatchSource source, CrosscoderInit init, StageContext context, TrainOptions options, TrainData.Layer layer)
    {
        TrainingPlan.RequireMemory(context.Memory, config);
        Crosscoder First()
        {
            using HostBuffer room = new(ElementType.Float32, (long)config.Batch * config.Crosscoder.E);
            ActivationNorm? norm = options.Normalise
                ? layer.Norm(source, new Matrix(room, config.Batch, config.Crosscoder.E, config.Crosscoder.E), options.TargetRms ?? 1, context.Stop)
                : null;
            Crosscoder crosscoder = new(config.Crosscoder, context.Backend, norm);
            init.Apply(crosscoder);
            return crosscoder;
        }

        MuSearch found = MuSearch.Run(what, config, target, options.SearchSteps ?? MuSearch.DefaultSteps(config.Steps), source, First, context.Progress, context.Stop);
        return (found.Mu, found.ToJson());
    }

    /// <summary>The kind, of an SAE with its target; where that name is taken by a crosscoder of another k or seed, with -k32 or -s2 for what differs.</summary>
    static string DefaultName(StageContext context, TrainingConfig config, TrainOptions options)
    {
        JsonObject settings = config.ToJson();
        int seed = options.Seed;
        string kind = options.Target is { } target ? "sae-" + SaeTargets.Name(target) : (string)settings["kind"]!;
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

    static StageManifest Plan(RunFolder run, TokenStore tokens, ActivationStore store, Preset preset, TrainingConfig config, CrosscoderInit init, TrainOptions options, JsonArray? trials)
    {
        JsonObject settings = config.ToJson();
        settings["layer"] = store.Layer;
        settings["preset"] = preset.Name;
        settings["seed"] = options.Seed;
        if (options.OrderSeed is { } order && order != options.Seed)
        {
            settings["orderSeed"] = order;
        }

        if (trials is not null)
        {
            settings["targetL0"] = options.TargetL0;
            settings["searchSteps"] = options.SearchSteps;
            settings["muTrials"] = trials;
        }

        if (options.Target is { } target)
        {
            settings["target"] = SaeTargets.Name(target);
        }

        if (options.Normalise)
        {
            settings["targetRms"] = options.TargetRms ?? 1;
        }

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
}
