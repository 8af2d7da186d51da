using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using Diffract.Compute.Kernels;
using Diffract.Crosscoders;
using Diffract.Formats;
using Diffract.Llms;
using Diffract.Runs;
using Diffract.Text;
using Diffract.Tokens;

namespace Diffract.Evidence;

/// <summary>The edits of spec 7.3 on loose files: any pair, any crosscoder, any chats, any latent sets.</summary>
public static class LooseIntervention
{
    const int DefaultContext = 1024, SmallestBatch = 2048, ComparedChats = 50;

    /// <summary>Runs everything and writes the means, and every position where asked.</summary>
    public static void Run(IBackend backend, IProgressSink progress, InterveneSettings settings, CancellationToken stop = default)
    {
        (int context, int baseVocabulary, int chatVocabulary) = Limits(settings);
        int[][] sets = [.. settings.Latents.Select(l => ReadSet(l.Name, l.File))];
        IReadOnlyList<Edit> edits = [.. Edit.Baselines, .. settings.Latents.SelectMany((l, i) => Edit.OfSet(l.Name, i)), Edit.BaseModel];
        using Crosscoder crosscoder = CrosscoderFolder.Load(settings.Crosscoder, backend);
        RequireThreshold(crosscoder, settings.Crosscoder, settings.AllowUnsetThreshold, progress);
        InputScaling.Check(crosscoder, settings.Crosscoder, settings.InputScale);
        Lazy<TextEncoder> encoder = new(() => TextEncoder.Load(settings.ChatModel, settings.ChatFormat));
        int skipFirst = SkipFirst(settings, encoder, context, progress);
        List<EditChat> chats = EditChats.Read(settings.Chats, settings.Columns, () => encoder.Value, context, chatVocabulary);
        RequireOneTokenizer(settings, encoder);
        ReplacementMap replace = settings.Replace ?? PairFamily.Replacement(settings.BaseModel, settings.ChatModel, () => encoder.Value.Tokenizer);
        chats = ForBoth(chats, new PairVocabulary(baseVocabulary, chatVocabulary, replace, id => encoder.IsValueCreated ? encoder.Value.Tokenizer.TokenText(id) : ""), skipFirst);
        if (!replace.IsEmpty)
        {
            progress.Line($"intervene: the base model reads other ids in place of some: {replace}");
        }

        int maxTokens = Math.Max(SmallestBatch, chats.Max(c => c.Ids.Length));
        EvidenceMemory memory = EvidenceMemory.Choose([settings.BaseModel, settings.ChatModel], settings.Layer, crosscoder.Latents, edits.Count, baseHead: true, maxTokens, settings.Memory);
        using Llm baseModel = Llm.Load(settings.BaseModel, backend, maxTokens);
        using Llm chatModel = Llm.Load(settings.ChatModel, backend, maxTokens);
        InterventionRunner.Check(baseModel.Config, chatModel.Config, crosscoder, settings.Layer);
        if (InputScaling.Needed(crosscoder, settings.Crosscoder, settings.InputScale))
        {
            LooseActivations acts = ChatActivations.Of(backend, baseModel, chatModel, settings.Layer, chats, maxTokens, memory.Models.Together, stop);
            InputScaling.Apply(crosscoder, settings.Crosscoder, settings.InputScale, acts, acts, "intervene", progress, stop);
        }

        using InterventionRunner runner = new(backend, baseModel, chatModel, crosscoder, settings.Layer, edits, sets, maxTokens, settings.Positions is not null, memory.LogitRows)
        {
            Together = memory.Models.Together,
        };
        progress.Line(string.Create(CultureInfo.InvariantCulture, $"intervene: {chats.Count} chats, {chats.Sum(c => c.Ids.Length):N0} tokens, {edits.Count} edits after block {settings.Layer}"));
        progress.Line($"intervene: {memory.Models.Why}");
        EffectMoments moments = new(edits);
        SafetensorsWriter positions = new();
        foreach (ChatEffects effects in runner.Run(chats, stop))
        {
            moments.Add(effects);
            if (settings.Positions is not null)
            {
                AddPositions(positions, edits, effects);
            }

            progress.Report("intervene", effects.Chat.Key + 1, chats.Count, "chats");
        }

        if (settings.Positions is { } file)
        {
            positions.Save(file);
        }

        JsonObject means = moments.ToJson();
        AtomicFile.WriteText(settings.Out, means.ToJsonString(Provenance.Json) + "\n");
        progress.Done("intervene", string.Create(CultureInfo.InvariantCulture, $"{chats.Count} chats, KL without an edit {moments.Mean("none"):F4}, with all latents {moments.Mean("all"):F4}; {settings.Out}"));
    }

    /// <summary>Refuses a BatchTopK crosscoder whose threshold was never set, unless it is allowed.</summary>
    public static void RequireThreshold(Crosscoder crosscoder, string folder, bool allowed, IProgressSink progress)
    {
        if (!crosscoder.ThresholdUnset)
        {
            return;
        }

        if (!allowed)
        {
            throw new DiffractException($"{folder} has no threshold yet (-1), so that every positive latent would be active; train it longer, or pass --allow-unset-threshold");
        }

        progress.Warn($"{folder} has no threshold yet: every positive latent is active");
    }

    /// <summary>What each model reads of the chats; ids that the base model can't read are refused.</summary>
    static List<EditChat> ForBoth(List<EditChat> chats, PairVocabulary vocabulary, int skipFirst)
    {
        if (vocabulary.ReplacementFault() is { } wrong)
        {
            throw DiffractException.Argument(wrong);
        }

        foreach (EditChat chat in chats)
        {
            if (vocabulary.Fault(chat.Ids) is { } fault)
            {
                throw new DiffractException($"chat {chat.Key} holds {fault}");
            }
        }

        return [.. chats.Select(c => c with { SkipFirst = skipFirst, BaseIds = vocabulary.Replace.Apply(c.Ids) })];
    }

    /// <summary>The edits want one stream of tokens. Where a chat was written by the template, both tokenizers must make the same of it.</summary>
    static void RequireOneTokenizer(InterveneSettings settings, Lazy<TextEncoder> encoder)
    {
        if (!encoder.IsValueCreated || !File.Exists(Path.Combine(settings.BaseModel, "tokenizer.json")))
        {
            return;
        }

        IEnumerable<TextItem> items = TextRows.Json(settings.Chats).Take(ComparedChats)
            .Where(l => EditChats.Tokens(l.Text, settings.Chats, l.Number) is null).Select(l => TextRows.OfJson(l.Text, settings.Chats, l.Number, settings.Columns, TextKind.Either));
        if (PairTokenizers.Compare(items, Tokenizer.Load(settings.BaseModel), encoder.Value).Difference is { } difference)
        {
            throw new DiffractException($"intervene: the models read different tokens, their tokenizers differ on {difference}; interventions want one stream of tokens");
        }
    }

    static (int Context, int BaseVocabulary, int ChatVocabulary) Limits(InterveneSettings settings)
    {
        LlmConfig a = LlmConfig.Load(settings.BaseModel), b = LlmConfig.Load(settings.ChatModel);
        int limit = Math.Min(a.ContextLimit, b.ContextLimit);
        return settings.Context is { } given && (given < 2 || given > limit)
            ? throw DiffractException.Argument($"--context {given} is out of range; wanted 2 to {limit}, the most that both models can read")
            : (settings.Context ?? Math.Min(DefaultContext, limit), a.Vocabulary, b.Vocabulary);
    }

    static int SkipFirst(InterveneSettings settings, Lazy<TextEncoder> encoder, int context, IProgressSink progress)
    {
        if (settings.SkipFirst is { } given && (given < 0 || given >= context))
        {
            throw DiffractException.Argument($"--skip-first {given} is out of range; wanted 0 to {context - 1}, less than the context");
        }

        int skipFirst = settings.SkipFirst ?? PairFamily.SkipFirst(settings.ChatModel, () => encoder.Value.Tokenizer);
        if (skipFirst > 0)
        {
            progress.Line($"intervene: the first {skipFirst} positions of each chat are left alone{(settings.SkipFirst is null ? ", as is usual for this family; --skip-first 0 edits them" : "")}");
        }

        return skipFirst;
    }

    static int[] ReadSet(string name, string file)
    {
        if (!File.Exists(file))
        {
            throw DiffractException.Argument($"--latents {name}={file}: the file does not exist; wanted a JSON array of latent indices");
        }

        try
        {
            return [.. JsonSerializer.Deserialize<int[]>(File.ReadAllText(file))!.Distinct()];
        }
        catch (Exception e) when (e is JsonException or ArgumentNullException)
        {
            throw new DiffractException($"{file} is not a JSON array of latent indices ({e.Message})", inner: e);
        }
    }

    static void AddPositions(SafetensorsWriter writer, IReadOnlyList<Edit> edits, ChatEffects effects)
    {
        string chat = effects.Chat.Key.ToString(CultureInfo.InvariantCulture);
        for (int e = 0; e < edits.Count; e++)
        {
            writer.Add($"{chat}.kl.{edits[e].Name}", effects.Kl[e], effects.Kl[e].Length);
            if (edits[e].Form != EditForm.BaseModel)
            {
                writer.Add($"{chat}.nll.{edits[e].Name}", effects.Nll[e].AsMemory(0, effects.Nll[e].Length - 1), effects.Nll[e].Length - 1);
            }
        }
    }
}
