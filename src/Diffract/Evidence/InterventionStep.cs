using System.Globalization;
using System.Text.Json;
using Diffract.Crosscoders;
using Diffract.Latents;
using Diffract.Llms;
using Diffract.Runs;
using Diffract.Scaling;
using Diffract.Tokens;

namespace Diffract.Evidence;

/// <summary>
/// Measures the edits on held-out chats of a run. What each chat gave is kept in <c>conversations.jsonl</c> until the stage is finished, so that a stopped one goes on where it was, to the
/// same numbers.
/// </summary>
static class InterventionStep
{
    const string ProgressFile = "conversations.jsonl";
    internal const int SmallestBatch = 2048;

    static JsonSerializerOptions OneLine { get; } = new(Provenance.Json) { WriteIndented = false };

    /// <summary>Null when there is no held-out chat with an answer, or the models read different tokens.</summary>
    public static InterventionResults? Run(
        StageContext context, TokenStore tokens, int layer, IReadOnlyList<LatentRow> latents, IReadOnlyList<ScalingRow> scaling, EvidenceSettings settings)
    {
        if (tokens.OwnTokens)
        {
            context.Progress.Warn("interventions are left out: the models read different tokens");
            return null;
        }

        EditChat[] chats = Choose(tokens, settings);
        if (chats.Length == 0)
        {
            return null;
        }

        LatentSets sets = LatentSets.Choose([.. latents.Select(l => Pool(l, scaling[l.Latent]))], (ulong)settings.Seed);
        IReadOnlyList<Edit> edits = InterventionStudy.Edits(sets);
        string progress = Path.Combine(context.Run.Evidence(settings.Name), ProgressFile);
        Dictionary<int, ChatSums> done = Load(progress, edits.Count);
        EditChat[] left = [.. chats.Where(c => !done.ContainsKey(c.Key))];
        if (left.Length > 0)
        {
            Measure(context, tokens, layer, latents.Count, sets, edits, settings, left, done, chats.Length, progress);
        }

        InterventionResults results = InterventionStudy.Results(sets, edits, [.. chats.Select(c => done[c.Key])], settings.Resamples, (ulong)settings.Seed);
        return chats.Length < settings.Conversations
            ? results with { Notes = [.. results.Notes, string.Create(CultureInfo.InvariantCulture, $"{chats.Length} held-out chats have an answer, {settings.Conversations} were asked for")] }
            : results;
    }

    /// <summary>Removes what a finished stage no longer needs.</summary>
    public static void Clean(string folder) => File.Delete(Path.Combine(folder, ProgressFile));

    /// <summary>Held-out chats with an answer, by seeded hash of their number, in order of number.</summary>
    static EditChat[] Choose(TokenStore tokens, EvidenceSettings settings)
        => [.. tokens.Documents.Where(d => d.Source == TextSource.Chat && d.Split == Split.HeldOut)
            .OrderBy(d => SeededHash.Of((ulong)settings.Seed + 1, (ulong)d.Number)).ThenBy(d => d.Number)
            .Select(d => new EditChat(d.Number, tokens.Ids(d).ToArray(), AnswerMasks.Of(tokens.Roles(d))) { SkipFirst = tokens.SkipFirst, BaseIds = tokens.Ids(d, 0).ToArray() })
            .Where(c => c.Masks.All.Contains(true)).Take(settings.Conversations).OrderBy(c => c.Key)];

    static PoolLatent Pool(LatentRow latent, ScalingRow scaling)
        => new(latent.Latent, latent.DeltaNorm, scaling.NuError, scaling.NuReconstruction, latent.Rate, latent.Class == LatentClass.Shared && !latent.Dead);

    static void Measure(
        StageContext context, TokenStore tokens, int layer, int latents, LatentSets sets, IReadOnlyList<Edit> edits, EvidenceSettings settings, EditChat[] chats, Dictionary<int, ChatSums> done, int total,
        string progress)
    {
        tokens.RequireCheckpoints(context.Run);
        int maxTokens = Math.Max(SmallestBatch, chats.Max(c => c.Ids.Length));
        EvidenceMemory memory = EvidenceMemory.Choose([tokens.BaseModel, tokens.ChatModel], layer, latents, edits.Count, baseHead: false, maxTokens, context.Memory);
        string folder = context.Run.Crosscoder(settings.Name);
        using Crosscoder crosscoder = CrosscoderFolder.Load(folder, context.Backend);
        LooseIntervention.RequireThreshold(crosscoder, context.Run.Relative(folder), settings.AllowUnsetThreshold, context.Progress);
        using Llm baseModel = Llm.Load(tokens.BaseModel, context.Backend, maxTokens, headNeeded: false);
        using Llm chatModel = Llm.Load(tokens.ChatModel, context.Backend, maxTokens);
        using InterventionRunner runner = new(
            context.Backend, baseModel, chatModel, crosscoder, layer, edits, InterventionStudy.SetsInOrder(sets), maxTokens, everyPosition: false, memory.LogitRows)
        {
            Together = memory.Models.Together,
        };
        string what = "evidence " + settings.Name;
        context.Progress.Line(string.Create(
            CultureInfo.InvariantCulture, $"{what}: {chats.Length} chats, {chats.Sum(c => c.Ids.Length):N0} tokens, {edits.Count} edits after block {layer}, pool of {sets.PoolAfterFilter} latents"));
        context.Progress.Line($"{what}: {memory.Models.Why}");
        using StreamWriter writer = new(progress, append: true) { AutoFlush = true, NewLine = "\n" };
        foreach (ChatEffects effects in runner.Run(chats, context.Stop))
        {
            ChatSums sums = ChatSums.Of(effects);
            writer.WriteLine(JsonSerializer.Serialize(sums, OneLine));
            done[sums.Document] = sums;
            context.Progress.Report(what, done.Count, total, "chats");
            context.Stop.ThrowIfCancellationRequested();
        }
    }

    /// <summary>Chats that an earlier call measured; a line that was cut off is dropped.</summary>
    static Dictionary<int, ChatSums> Load(string path, int edits)
    {
        Dictionary<int, ChatSums> done = [];
        if (!File.Exists(path))
        {
            return done;
        }

        List<string> whole = [];
        foreach (string line in File.ReadLines(path))
        {
            try
            {
                ChatSums? sums = JsonSerializer.Deserialize<ChatSums>(line, OneLine);
                if (sums?.Kl?.Length == edits && done.TryAdd(sums.Document, sums))
                {
                    whole.Add(line);
                }
            }
            catch (JsonException)
            {
                // Cut off while it was written: that chat is measured again.
            }
        }

        // Written anew, so that what follows does not continue a broken line.
        AtomicFile.WriteText(path, string.Concat(whole.Select(l => l + "\n")));
        return done;
    }
}
