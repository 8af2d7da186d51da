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
    /// <param name="context">The run.</param>
    /// <param name="list">The crosscoders.</param>
    /// <param name="stream">Make the activations on the way instead of reading them; the layers' smaller stores are there.</param>
    public static void Run(StageContext context, IReadOnlyList<TrainSettings> list, bool stream = false)
    {
        using TokenStore tokens = TokenStore.Open(context.Run);
        using TrainData data = new(context.Run, tokens);
        data.Stream = stream ? OpenStream(context, data, list) : null;
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
        if (data.Stream is { } planned)
        {
            planned.Plan(TrainingPlan.Bytes(configs), context.Memory);
            planned.End = configs.Max(c => c.Steps * c.Batch);
        }

        if (works.Count > 1)
        {
            context.Progress.Line($"train: {works.Count} crosscoders from one pass over the activations, {TrainingPlan.Size(TrainingPlan.Bytes(configs))} of memory together");
        }

        try
        {
            SharedPass.Run([.. works.Select(w => w.Begin())], works.Count == 1 ? works[0].What : $"train {works.Count} crosscoders", context.Progress, data.Stream, context.Stop);
        }
        finally
        {
            works.ForEach(w => w.Dispose());
        }
    }

    /// <summary>The stream of all the layers, in the one order that all have to share.</summary>
    static LiveActivations OpenStream(StageContext context, TrainData data, IReadOnlyList<TrainSettings> list)
    {
        LayerPair[] layers = [.. list.Select(s => OnlyLayer(context.Run, s.Layer)).Distinct().Order()];
        int[] seeds = [.. list.Select(s => s.Options.OrderSeed ?? s.Options.Seed).Distinct()];
        TextSource?[] texts = [.. list.Select(s => s.Options.Target is { } target ? SaeTargets.Text(target) : (TextSource?)null).Distinct()];
        int[] windows = [.. list.Select(s => s.Options.Window ?? ShuffledOrder.DefaultWindow).Distinct()];
        if (seeds.Length > 1 || texts.Length > 1 || windows.Length > 1)
        {
            string what = seeds.Length > 1 ? $"the orders of the seeds {string.Join(", ", seeds)}" : windows.Length > 1 ? $"windows of {string.Join(", ", windows)} tokens" : $"{string.Join(" and ", texts.Select(t => t is null ? "all tokens" : t == TextSource.Chat ? "chats" : "documents"))}";
            throw DiffractException.Argument($"--stream makes activations in one order for all, got {what}; wanted one: give --order-seed, or train them in calls of their own");
        }

        if (layers.Zip(layers.Skip(1)).Any(l => l.Second.Base <= l.First.Base || l.Second.Chat <= l.First.Chat))
        {
            throw DiffractException.Argument($"the layers {string.Join(", ", layers)} do not follow each other in both models; a stream takes them in calls of their own");
        }

        ActivationStore[] stores = [.. layers.Select(l => data.Of(l).Store)];
        if (stores.FirstOrDefault(s => s.KeepTokens is null) is { } whole)
        {
            throw DiffractException.Argument($"{context.Run.Relative(context.Run.Activations(whole.Layer))} holds all activations of the layer; leave --stream out, which is for runs that do not store them");
        }

        if (stores.Select(s => s.Storage).Distinct().Count() > 1)
        {
            throw DiffractException.Argument($"the layers {string.Join(", ", layers)} are stored in different types, a stream rounds all alike; train them in calls of their own");
        }

        foreach (TrainSettings settings in list)
        {
            long validation = Preset.Of(settings.Preset).ValidationTokens;
            if (stores.Min(s => s.KeepTokens) < validation)
            {
                throw DiffractException.Argument($"--keep-tokens {stores.Min(s => s.KeepTokens)} is too small: validation takes {validation:N0} held-out tokens; wanted as many at least");
            }
        }

        return new LiveActivations(context.Backend, data.Tokens, layers, new ShuffledOrder(data.Tokens, seeds[0], only: texts[0], window: windows[0]), stores[0].Storage, context.Progress, context.Stop);
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

        IBatchSource source = layer.Source(options.OrderSeed ?? options.Seed, options.Target, options.Window ?? ShuffledOrder.DefaultWindow);
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
            (double mu, trials) = SearchedMu(context, folder, options) ?? Search("train " + name, config, target, source, init, context, options, layer, data.Stream);
            config = config with { Mu = mu };
        }

        StageManifest plan = Plan(context.Run, data.Tokens, layer.Store, preset, config, init, options, trials);
        if (context.AlreadyDone(folder, plan))
        {
            context.Progress.Done("train", $"crosscoder {name} is there already");
            return null;
        }

        return new TrainWork(context, layer, source, config, init, options, preset.ValidationTokens, name, folder, plan) { Stream = data.Stream };
    }

    /// <summary>The mu that an earlier call of the same search found, so that a resumed training need not search again.</summary>
    static (double Mu, JsonArray Trials)? SearchedMu(StageContext context, string folder, TrainOptions options)
        => !context.Fresh && StageContext.SettingsOf(folder) is { } made && (double?)made["targetL0"] == options.TargetL0 && (long?)made["searchSteps"] == options.SearchSteps && made["muTrials"] is JsonArray trials
            ? ((double)made["mu"]!, trials.DeepClone().AsArray())
            : null;

    static (double Mu, JsonArray Trials) Search(
        string what, TrainingConfig config, double target, IBatchSource source, CrosscoderInit init, StageContext context, TrainOptions options, TrainData.Layer layer,
        LiveActivations? stream)
    {
        TrainingPlan.RequireMemory(context.Memory, config);
        long steps = options.SearchSteps ?? MuSearch.DefaultSteps(config.Steps);
        if (stream is not null)
        {
            stream.Plan(TrainingPlan.Bytes(config), context.Memory);
            stream.End = steps * config.Batch;
        }

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

        MuSearch found = MuSearch.Run(what, config, target, steps, source, First, context.Progress, context.Stop);
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
    static LayerPair OnlyLayer(RunFolder run, LayerPair? layer)
    {
        if (layer is { } wanted)
        {
            return wanted;
        }

        IReadOnlyList<string> names = run.Names("activations");
        return names.Count switch
        {
            1 when LayerPair.TryParse(names[0], out LayerPair only) => only,
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
        settings["shuffleWindow"] = options.Window ?? ShuffledOrder.DefaultWindow;
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
