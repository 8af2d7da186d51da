using System.Globalization;
using System.Text.Json.Nodes;
using System.Text.Json;
using Diffract.Formats.Hub;
using Diffract.Activations;
using Diffract.Llms;
using Diffract.Runs;
using Diffract.Text;

namespace Diffract.Pipeline;

/// <summary>
/// What a whole run is going to do, decided once: <c>run.json</c> keeps the layer and the cap on tokens that <c>--hours</c> came to, so that a run that goes on later goes on with the same.
/// </summary>
/// <param name="Layer">Hooked block.</param>
/// <param name="MaxTokens">Cap on the tokens of all splits; null for none.</param>
/// <param name="TokensPerSecond">Measured rate of the harvest.</param>
sealed record RunPlan(LayerPair Layer, long? MaxTokens, double TokensPerSecond)
{
    const long LeastTokens = 100_000;
    const string FileName = "run.json";

    /// <param name="context">The run folder and who listens.</param>
    /// <param name="settings">What was asked for.</param>
    /// <param name="loadedLatents">Latents of the largest crosscoder that is loaded; 0 where all are trained.</param>
    /// <exception cref="DiffractException">Arguments that do not fit, or a stage that cannot fit the memory.</exception>
    public static RunPlan Make(StageContext context, PipelineSettings settings, int loadedLatents)
    {
        LlmConfig baseModel = LlmConfig.Load(settings.BaseModel), chatModel = LlmConfig.Load(settings.ChatModel);
        LayerPair layer = settings.Layer ?? Math.Min(baseModel.Layers, chatModel.Layers) / 2;
        HookedBlocks.Check(layer, baseModel, chatModel);

        if (settings.MaxTokens is < LeastTokens)
        {
            throw DiffractException.Argument(string.Create(
                CultureInfo.InvariantCulture, $"--tokens {settings.MaxTokens} is too small for every stage to run; wanted at least {LeastTokens:N0}, or a run stage by stage"));
        }

        if (settings.Hours is { } asked && !(asked > 0 && double.IsFinite(asked)))
        {
            throw DiffractException.Argument(FormattableString.Invariant($"--hours {asked} is no time; wanted a number above 0"));
        }

        string path = Path.Combine(context.Run.Root, FileName);
        string wanted = Asked(settings, layer).ToJsonString();
        if (!context.Fresh && File.Exists(path))
        {
            return Kept(context.Run.Root, path, wanted, layer);
        }

        // What cannot fit is refused before the folder is bound to these settings.
        RunMemory.Plan(settings, layer, settings.MaxTokens, loadedLatents, context.Memory);
        double rate = HarvestRate.Measure(settings.BaseModel, settings.ChatModel, layer, context.Backend, context.Stop);
        long? cap = settings.MaxTokens;
        if (settings.Hours is { } hours)
        {
            long affordable = (long)(hours * 3600 * rate);
            if (affordable < LeastTokens)
            {
                throw DiffractException.Argument(string.Create(
                    CultureInfo.InvariantCulture,
                    $"--hours {hours} harvests {affordable:N0} tokens at the measured {rate:N0} tokens/s; wanted at least {LeastTokens:N0}, that is --hours {LeastTokens / rate / 3600:G2}"));
            }

            cap = Math.Min(cap ?? long.MaxValue, affordable);
        }

        RunPlan plan = new(layer, cap, rate);
        AtomicFile.WriteText(path, new JsonObject { ["asked"] = Asked(settings, layer), ["maxTokens"] = cap, ["tokensPerSecond"] = rate }.ToJsonString(Provenance.Json));
        return plan;
    }

    /// <summary>The plan that an earlier call wrote.</summary>
    static RunPlan Kept(string root, string path, string wanted, LayerPair layer)
    {
        try
        {
            JsonNode kept = JsonNode.Parse(File.ReadAllText(path))!;
            string asked = kept["asked"]!.ToJsonString();
            return asked == wanted
                ? new RunPlan(layer, (long?)kept["maxTokens"], (double)kept["tokensPerSecond"]!)
                : throw new DiffractException($"{root} holds a run with other settings ({asked}); use --fresh to replace it, or another --out");
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException or NullReferenceException or FormatException)
        {
            throw new DiffractException($"{path} is not the plan of a run: changed or damaged; remove it and call the same command again, finished stages are kept", inner: e);
        }
    }

    /// <summary>The plan in a few lines, printed before any work.</summary>
    /// <param name="context">Who listens.</param>
    /// <param name="settings">What was asked for.</param>
    /// <param name="loadedLatents">Latents of the largest crosscoder that is loaded; 0 where all are trained.</param>
    /// <exception cref="DiffractException">A stage that cannot fit the memory.</exception>
    public void Announce(StageContext context, PipelineSettings settings, int loadedLatents)
    {
        string tokens = MaxTokens is { } cap
            ? string.Create(CultureInfo.InvariantCulture, $"at most {cap:N0} tokens, {HarvestNeeds.Time(cap / TokensPerSecond)} of harvest")
            : "all tokens that the files give, counted first";
        string crosscoders = settings.Crosscoders.Count > 0
            ? "examine " + string.Join(", ", settings.Crosscoders.Select(HubName.Of)) + " (nothing is trained)"
            : "train " + string.Join(" and ", settings.Kinds.Select(k => k.ToString().ToLowerInvariant())) + $" ({settings.Preset} preset)";
        context.Progress.Line(string.Create(
            CultureInfo.InvariantCulture,
            $"plan: {HubName.Of(settings.BaseModel)} against {HubName.Of(settings.ChatModel)} at layer {Layer}; {tokens} (measured {TokensPerSecond:N0} tokens/s); {crosscoders}"));
        context.Progress.Line($"plan: {context.Backend.Description}; run folder {context.Run.Root}");
        foreach (string line in RunMemory.Plan(settings, Layer, MaxTokens, loadedLatents, context.Memory))
        {
            context.Progress.Line("plan: " + line);
        }

        if (settings.Chats.Count == 0)
        {
            context.Progress.Warn("no --chats: interventions, behaviours and rates by role need chats and are left out");
        }

        if (settings.Texts.Count == 0)
        {
            context.Progress.Warn("no --text: crosscoders see chats only; what is shared with plain text cannot be told");
        }
    }

    /// <summary>The hours, where they could not be told before the tokens were counted.</summary>
    public void AnnounceTokens(StageContext context, long tokens)
    {
        if (MaxTokens is null)
        {
            context.Progress.Line(string.Create(CultureInfo.InvariantCulture, $"plan: {tokens:N0} tokens, {HarvestNeeds.Time(tokens / TokensPerSecond)} of harvest"));
        }
    }

    static JsonObject Asked(PipelineSettings settings, LayerPair layer)
    {
        JsonObject asked = AskedAlways(settings, layer);
        if (settings.SkipFirst is { } skip)
        {
            asked["skipFirst"] = skip;
        }

        if (settings.Stream)
        {
            asked["stream"] = true;
            asked["keepTokens"] = settings.KeepTokens;
        }

        if (settings.Replace is { } replace)
        {
            asked["replace"] = replace.ToString();
        }

        if (settings.ChatFormat != ChatFormat.Own)
        {
            asked["chatFormat"] = settings.ChatFormat.Describe();
        }

        if (settings.Storage != StorageKind.BFloat16)
        {
            asked["storage"] = settings.Storage.Name();
        }

        if (settings.Columns.Describe() is { Count: > 0 } columns)
        {
            asked["columns"] = columns;
        }

        return asked;
    }

    static JsonObject AskedAlways(PipelineSettings settings, LayerPair layer) => new()
    {
        ["base"] = Path.GetFullPath(settings.BaseModel),
        ["chat"] = Path.GetFullPath(settings.ChatModel),
        ["text"] = new JsonArray([.. settings.Texts.Select(f => (JsonNode)Path.GetFullPath(f))]),
        ["chats"] = new JsonArray([.. settings.Chats.Select(f => (JsonNode)Path.GetFullPath(f))]),
        ["layer"] = layer,
        ["tokens"] = settings.MaxTokens,
        ["hours"] = settings.Hours,
        ["preset"] = settings.Preset,
        ["seed"] = settings.Seed,
    };
}
