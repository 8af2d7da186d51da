using Diffract.Activations;
using Diffract.Llms;
using Diffract.Runs;
using Diffract.Tokens;
using Diffract.Training;

namespace Diffract.Pipeline;

/// <summary>Trains without a store of the training tokens: a smaller one is harvested for what validates and examines the crosscoders, the rest is made while they are trained.</summary>
public static class StreamedTraining
{
    /// <summary>Rows of each split but training, of documents and chats each, that are stored where nobody says otherwise: the held-out tokens of the paper's validation.</summary>
    public const long DefaultKeepTokens = 2_000_000;

    /// <param name="context">The run.</param>
    /// <param name="list">The crosscoders, of any layers: each pass of the models gives all of them.</param>
    /// <param name="keep">Storage and size of the smaller stores; its layer is that of crosscoders which name none.</param>
    public static void Run(StageContext context, IReadOnlyList<TrainSettings> list, HarvestSettings keep)
    {
        LayerPair? only = list.All(s => s.Layer is not null) ? null : keep.Layer ?? Default(context.Run);
        list = [.. list.Select(s => s with { Layer = s.Layer ?? only })];
        foreach (LayerPair layer in list.Select(s => s.Layer!.Value).Distinct().Order())
        {
            Keep(context, keep with { Layer = layer, KeepTokens = keep.KeepTokens ?? DefaultKeepTokens });
        }

        TrainStage.Run(context, list, stream: true);
    }

    /// <summary>The smaller store of a layer. A crosscoder that is trained afresh leaves it alone, unless it is asked for with other settings.</summary>
    static void Keep(StageContext context, HarvestSettings settings)
    {
        if (settings.KeepTokens < 1)
        {
            throw DiffractException.Argument($"--keep-tokens {settings.KeepTokens} is too small; wanted at least 1");
        }

        string folder = context.Run.Activations(settings.Layer!.Value);
        if (StageManifest.TryLoad(folder) is { } made && made.Settings[ActivationStore.KeepTokensSetting] is null)
        {
            throw DiffractException.Argument($"{context.Run.Relative(folder)} holds all activations of the layer; leave --stream out, which is for runs that do not store them");
        }

        bool other = context.Fresh && StageContext.SettingsOf(folder) is { } before
            && ((long?)before[ActivationStore.KeepTokensSetting] != settings.KeepTokens || (string?)before["storage"] != settings.Storage.Name());
        HarvestStage.Run(context with { Fresh = other }, settings);
    }

    /// <summary>The only layer that has a store, else half the blocks.</summary>
    static LayerPair Default(RunFolder run)
    {
        IReadOnlyList<string> there = run.Names("activations");
        if (there.Count == 1 && LayerPair.TryParse(there[0], out LayerPair only))
        {
            return only;
        }

        using TokenStore tokens = TokenStore.Open(run);
        tokens.RequireModels(run);
        return Math.Min(LlmConfig.Load(tokens.BaseModel).Layers, LlmConfig.Load(tokens.ChatModel).Layers) / 2;
    }
}
