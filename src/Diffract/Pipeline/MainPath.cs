using Diffract.Activations;
using Diffract.Activations.Caches;
using Diffract.Crosscoders;
using Diffract.Evidence;
using Diffract.Latents;
using Diffract.Llms;
using Diffract.Reports;
using Diffract.Runs;
using Diffract.Scaling;
using Diffract.Tokens;
using Diffract.Training;

namespace Diffract.Pipeline;

/// <summary>The main path: the stages in as many lines. (Not called Pipeline, because its namespace is.)</summary>
public static class MainPath
{
    /// <summary>Runs what is missing; a run that was stopped goes on where it stopped.</summary>
    public static ReportOutcome Run(StageContext context, PipelineSettings settings)
    {
        CheckNames(settings);
        TokenizeSettings tokenize = new()
        {
            BaseModel = settings.BaseModel,
            ChatModel = settings.ChatModel,
            Texts = settings.Texts,
            Chats = settings.Chats,
            Columns = settings.Columns,
            MostSkipped = settings.MostSkipped,
            SkipFirst = settings.SkipFirst,
            ChatFormat = settings.ChatFormat,
            Replace = settings.Replace,
            ContextLimit = Configs(settings).Min(c => c.ContextLimit),
            Seed = settings.Seed,
        };
        // Before the plan is kept: a slip in the arguments must not bind the run folder.
        TokenizeStage.Check(tokenize);
        int loadedLatents = CheckCrosscoders(context, settings);
        RunPlan plan = RunPlan.Make(context, settings, loadedLatents);
        plan.Announce(context, settings, loadedLatents);

        TokenizeStage.Run(context, tokenize with { MaxTokens = plan.MaxTokens });
        plan.AnnounceTokens(context, CheckTraining(context, settings));
        HarvestSettings harvest = new() { Layer = plan.Layer, Storage = settings.Storage };
        if (!settings.Stream)
        {
            HarvestStage.Run(context, harvest);
        }

        return Examine(context, settings, plan.Layer, Widths(settings), harvest);
    }

    /// <summary>The same from caches of activations that somebody else's collector made: nothing is tokenised or harvested.</summary>
    public static ReportOutcome RunFromCache(StageContext context, PipelineSettings settings, CacheSettings cache)
    {
        CheckNames(settings);
        (int layer, int[] widths, long rows) = CacheStage.Look(cache);
        foreach (string folder in settings.Crosscoders)
        {
            using Crosscoder crosscoder = CrosscoderFolder.Load(folder, context.Backend);
            ImportStage.Check(folder, crosscoder, widths, settings.InputScale);
        }

        foreach (CrosscoderKind kind in settings.Crosscoders.Count == 0 ? settings.Kinds : [])
        {
            // As many tokens as there may be: a preset that would not fit even those is refused before the caches are read.
            Preset.Of(settings.Preset).Configure(kind, widths, rows, Options(kind, settings.Seed, widths));
        }

        CacheStage.Run(context, cache);
        return Examine(context, settings, layer, widths, new HarvestSettings { Layer = layer });
    }

    /// <summary>Everything behind the activations; with <c>--stream</c> those too.</summary>
    static ReportOutcome Examine(StageContext context, PipelineSettings settings, LayerPair layer, int[] widths, HarvestSettings harvest)
    {
        List<string> names = [];
        foreach (string folder in settings.Crosscoders)
        {
            ImportStage.Run(context, folder, layer, settings.InputScale);
            names.Add(ImportStage.NameOf(folder));
        }

        TrainSettings[] trainings = settings.Crosscoders.Count > 0
            ? []
            : [.. settings.Kinds.Select(kind => new TrainSettings { Layer = layer, Name = kind.Name(), Preset = settings.Preset, Options = Options(kind, settings.Seed, widths) })];
        if (settings.Stream)
        {
            StreamedTraining.Run(context, trainings, harvest with { KeepTokens = settings.KeepTokens });
        }

        foreach (TrainSettings training in trainings)
        {
            if (!settings.Stream)
            {
                TrainStage.Run(context, training);
            }

            names.Add(training.Name!);
        }

        foreach (string name in names)
        {
            LatentsStage.Run(context, new LatentsSettings { Name = name, AllowUnsetThreshold = settings.AllowUnsetThreshold });
            if (CommonSpace.Of(context.Run, layer))
            {
                ScaleStage.Run(context, new ScaleSettings { Name = name, AllowUnsetThreshold = settings.AllowUnsetThreshold });
            }
            else
            {
                context.Progress.Line($"scale: left out for {name}, {CommonSpace.NoScaling}");
            }

            if (KnownModels(context) == ModelsKnown.Nothing)
            {
                context.Progress.Line($"evidence: left out for {name}, there is no tokenizer to show texts with and no model to edit");
                continue;
            }

            EvidenceStage.Run(context, new EvidenceSettings { Name = name, Seed = settings.Seed, AllowUnsetThreshold = settings.AllowUnsetThreshold });
        }

        return ReportStage.Run(context, new ReportSettings(names, layer));
    }

    static ModelsKnown KnownModels(StageContext context)
    {
        using TokenStore tokens = TokenStore.Open(context.Run);
        return tokens.Models;
    }

    /// <summary>Lengths in spaces of different widths say nothing beside each other, so each model's activations are normalised there.</summary>
    internal static TrainOptions Options(CrosscoderKind kind, PipelineSettings settings) => Options(kind, settings.Seed, Widths(settings));

    static TrainOptions Options(CrosscoderKind kind, int seed, int[] widths) => new() { Kind = kind, Seed = seed, Normalise = widths.Distinct().Count() > 1 };

    static LlmConfig[] Configs(PipelineSettings settings) => [LlmConfig.Load(settings.BaseModel), LlmConfig.Load(settings.ChatModel)];

    static int[] Widths(PipelineSettings settings) => [.. Configs(settings).Select(c => c.Width)];

    /// <summary>A preset that does not fit the tokens is refused before the harvest, not after it. Returns the tokens of all splits.</summary>
    static long CheckTraining(StageContext context, PipelineSettings settings)
    {
        using TokenStore tokens = TokenStore.Open(context.Run);
        if (settings.Crosscoders.Count > 0)
        {
            return tokens.Tokens;
        }

        long training = tokens.Documents.Where(d => d.Split == Split.Train).Sum(d => (long)d.Rows);
        int[] widths = Widths(settings);
        foreach (CrosscoderKind kind in settings.Kinds)
        {
            Preset.Of(settings.Preset).Configure(kind, widths, training, Options(kind, settings));
        }

        return tokens.Tokens;
    }

    /// <summary>A crosscoder that does not fit the pair is refused before the harvest too. Returns the latents of the largest; 0 where none is loaded.</summary>
    static int CheckCrosscoders(StageContext context, PipelineSettings settings)
    {
        int latents = 0;
        foreach (string folder in settings.Crosscoders)
        {
            using Crosscoder crosscoder = CrosscoderFolder.Load(folder, context.Backend);
            ImportStage.Check(folder, crosscoder, Widths(settings), settings.InputScale);
            latents = Math.Max(latents, crosscoder.Latents);
        }

        return latents;
    }

    /// <summary>Two loaded crosscoders must not take the same place.</summary>
    static void CheckNames(PipelineSettings settings)
    {
        if (settings.Crosscoders.Count == 0 && settings.InputScale.Text is { } said)
        {
            throw DiffractException.Argument($"--input-scale {said} belongs to --crosscoder; what is trained here reads activations as they are");
        }

        if (settings.Crosscoders.Count > 0 && settings.Stream)
        {
            throw DiffractException.Argument("--stream belongs to training; with --crosscoder nothing is trained, and all tokens are harvested to examine it on");
        }

        foreach (string folder in settings.Crosscoders)
        {
            FolderFiles.Find(folder);
        }

        if (settings.Crosscoders.GroupBy(ImportStage.NameOf).FirstOrDefault(g => g.Count() > 1) is { } twice)
        {
            throw DiffractException.Argument($"--crosscoder is given {twice.Count()} folders called {twice.Key}; rename one, the name is its place in the run");
        }
    }
}
