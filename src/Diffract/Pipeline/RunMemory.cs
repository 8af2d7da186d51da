using System.Globalization;
using Diffract.Activations;
using Diffract.Crosscoders;
using Diffract.Evidence;
using Diffract.Latents;
using Diffract.Llms;
using Diffract.Runs;
using Diffract.Training;

namespace Diffract.Pipeline;

/// <summary>What each stage of a run is going to hold, before the first begins: by config.json, the headers of the weights and the preset. Stages decide again, by what is free then.</summary>
static class RunMemory
{
    /// <summary>Tokens that no preset needs more of, to ask it for sizes alone.</summary>
    const long Plenty = 1L << 40;

    /// <param name="settings">The run.</param>
    /// <param name="layer">Hooked block.</param>
    /// <param name="tokens">Most tokens of all splits; null where it is not known yet.</param>
    /// <param name="loaded">Latents of the largest crosscoder that is loaded; 0 where all are trained.</param>
    /// <param name="memory">The bound.</param>
    /// <returns>One line for each stage that may be large.</returns>
    /// <exception cref="DiffractException">A stage that does not fit, whatever it does.</exception>
    public static IEnumerable<string> Plan(PipelineSettings settings, LayerPair layer, long? tokens, int loaded, MemoryBudget memory)
    {
        string[] folders = [settings.BaseModel, settings.ChatModel];
        LlmConfig[] configs = [.. folders.Select(LlmConfig.Load)];
        int[] widths = [.. configs.Select(c => c.Width)];
        int context = Math.Min(1024, configs.Min(c => c.ContextLimit));
        HarvestSettings harvest = new();
        int shard = (int)Math.Min(tokens ?? harvest.ShardTokens, harvest.ShardTokens);
        HarvestNeeds needs = HarvestNeeds.Of(folders, layer, shard, tokens ?? 0, 0, harvest.BatchTokens, context, settings.Storage, memory);
        List<string> lines =
        [
            string.Join("; ", folders.Select((f, m) => $"{(m == 0 ? "base" : "chat")} model {Weights(f, configs[m])}")),
            $"harvest: {needs.Models.Why}{(tokens is null ? "" : $"; up to {HarvestNeeds.Size(needs.Bytes)} on disk")}{(settings.Stream ? ", of which training tokens are not stored" : "")}",
        ];
        (int latents, string training, long bytes) = Dictionary(settings, widths, loaded, memory);
        lines.Add(training);
        if (settings.Stream)
        {
            long rows = Math.Min(tokens ?? long.MaxValue, ShuffledOrder.DefaultWindow + (2L * context));
            StreamNeeds stream = StreamNeeds.Of(folders, [layer], rows, windows: 2, Math.Max(harvest.BatchTokens, context), context, settings.Storage, bytes, memory);
            lines.Add($"stream: {stream.Models.Why} with the training, {stream.Windows} windows of {MemoryBudget.Size(stream.WindowBytes)} in memory");
        }

        ScanMemory.Require("of the run", latents, widths.Sum(), memory);
        lines.Add($"latents, scale: {MemoryBudget.Size(ScanMemory.Bytes(latents, widths.Sum()))}");
        if (settings.Chats.Count > 0)
        {
            EvidenceMemory evidence = EvidenceMemory.Choose(folders, layer, latents, InterventionStudy.MostEdits, baseHead: false, Math.Max(InterventionStep.SmallestBatch, context), memory);
            lines.Add($"evidence: {evidence.Models.Why}, logits of {evidence.LogitRows} positions at a time");
        }

        return lines;
    }

    /// <summary>The latents of the largest dictionary, what it takes to train or to hold, in words, and bytes of the training.</summary>
    static (int Latents, string Line, long Bytes) Dictionary(PipelineSettings settings, int[] widths, int loaded, MemoryBudget memory)
    {
        if (settings.Crosscoders.Count > 0)
        {
            return (loaded, string.Create(CultureInfo.InvariantCulture, $"crosscoder: {MemoryBudget.Size(CrosscoderMemory.Bytes(loaded, widths.Sum(), 1))}, {loaded:N0} latents"), 0);
        }

        TrainingConfig[] configs = [.. settings.Kinds.Select(kind => Preset.Of(settings.Preset).Configure(kind, widths, Plenty, MainPath.Options(kind, settings)))];
        foreach (TrainingConfig config in configs)
        {
            TrainingPlan.RequireMemory(memory, config);
        }

        // A streamed run trains all its kinds in one pass.
        int latents = configs.Max(c => c.Crosscoder.Latents);
        long bytes = settings.Stream ? TrainingPlan.Bytes(configs) : configs.Max(TrainingMemory.Bytes);
        return (latents, string.Create(CultureInfo.InvariantCulture, $"train: {MemoryBudget.Size(bytes)}, {latents:N0} latents"), bytes);
    }

    static string Weights(string folder, LlmConfig config)
    {
        LlmMemory all = LlmMemory.Of(folder, config.Layers, head: true, 0, 0);
        string copied = all.Copied > 1 << 24 ? $", {MemoryBudget.Size(all.Copied)} are copied when loaded (float16 to float32, or to another order)" : "";
        return $"{MemoryBudget.Size(all.Mapped + all.Copied)}, {MemoryBudget.Size(all.Mapped)} of weights stay in the mapped files{copied}";
    }
}
