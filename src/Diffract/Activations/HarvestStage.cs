using System.Globalization;
using System.Text.Json.Nodes;
using Diffract.Llms;
using Diffract.Runs;
using Diffract.Tokens;

namespace Diffract.Activations;

/// <summary>
/// The harvest stage: both models over the tokens of the run, the residual after one block into <c>activations/&lt;layer&gt;/</c>. Each shard is a unit that is published whole while the next is
/// computed; several processes may share the shards out. Called again, the stage goes on with what is not published, and ends with the same bytes.
/// </summary>
public static class HarvestStage
{
    public static void Run(StageContext context, HarvestSettings settings)
    {
        Check(settings);
        using TokenStore tokens = TokenStore.Open(context.Run);
        tokens.RequireModels(context.Run, ModelsKnown.Both);
        (string Name, string Folder)[] models = [("base", tokens.BaseModel), ("chat", tokens.ChatModel)];
        LlmConfig[] configs = [.. models.Select(m => LlmConfig.Load(m.Folder))];
        LayerPair layer = settings.Layer ?? configs.Min(c => c.Layers) / 2;
        HookedBlocks.Check(layer, configs[0], configs[1]);

        tokens.RequireCheckpoints(context.Run);
        string folder = context.Run.Activations(layer);
        StageManifest plan = new()
        {
            Stage = "harvest",
            Settings = new JsonObject
            {
                ["layer"] = layer,
                ["storage"] = settings.Storage.Name(),
                ["shardTokens"] = settings.ShardTokens,
                ["widths"] = ActivationStore.Numbers(configs.Select(c => c.Width)),
            },
            Inputs = { ["tokens"] = tokens.Manifest.Fingerprint() },
        };
        if (settings.KeepTokens is { } kept)
        {
            plan.Settings[ActivationStore.KeepTokensSetting] = kept;
        }

        if (context.AlreadyDone(folder, plan, settings.Share))
        {
            context.Progress.Done("harvest", $"activations of layer {layer} are there already");
            return;
        }

        using HarvestWork work = new(context, settings, tokens, models, layer);
        work.Run(plan);
    }

    static void Check(HarvestSettings settings)
    {
        if (settings.ShardTokens < 1)
        {
            throw DiffractException.Argument(string.Create(CultureInfo.InvariantCulture, $"--shard-tokens {settings.ShardTokens} is too small; wanted at least 1"));
        }
    }
}
