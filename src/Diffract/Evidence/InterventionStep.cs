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
/// Measures the edits on held-out chats of a run. What the chats of a unit gave is published as one file, so that several processes may share the units out and a stopped one goes on where it was, to
/// the same numbers.
/// </summary>
sealed class InterventionStep
{
    internal const int SmallestBatch = 2048;

    readonly StageContext _context;
    readonly TokenStore _tokens;
    readonly EvidenceSettings _settings;
    readonly LayerPair _layer;
    readonly int _latents;
    readonly EditChat[] _chats;
    readonly EditChat[][] _units;
    readonly LatentSets _sets;
    readonly IReadOnlyList<Edit> _edits;

    InterventionStep(StageContext context, TokenStore tokens, LayerPair layer, IReadOnlyList<LatentRow> latents, IReadOnlyList<ScalingRow> scaling, EvidenceSettings settings, EditChat[] chats)
    {
        (_context, _tokens, _settings, _layer, _latents, _chats) = (context, tokens, settings, layer, latents.Count, chats);
        _units = [.. chats.Chunk(settings.UnitConversations)];
        _sets = LatentSets.Choose([.. latents.Select(l => Pool(l, scaling[l.Latent]))], (ulong)settings.Seed);
        _edits = InterventionStudy.Edits(_sets);
    }

    static JsonSerializerOptions OneLine { get; } = new(Provenance.Json) { WriteIndented = false };

    string What => "evidence " + _settings.Name;

    /// <summary>Null when there is no held-out chat with an answer, or the models read different tokens.</summary>
    public static InterventionStep? Plan(
        StageContext context, TokenStore tokens, LayerPair layer, IReadOnlyList<LatentRow> latents, IReadOnlyList<ScalingRow> scaling, EvidenceSettings settings)
    {
        if (tokens.NoInterventions is { } why)
        {
            context.Progress.Warn($"interventions are left out: {why}");
            return null;
        }

        EditChat[] chats = Choose(tokens, settings);
        return chats.Length == 0 ? null : new InterventionStep(context, tokens, layer, latents, scaling, settings, chats);
    }

    /// <summary>The file of each unit, relative to the stage folder; it says the size, so that tasks which cut the chats otherwise are refused.</summary>
    public static string[] Files(InterventionStep? step)
        => [.. Enumerable.Range(0, step?._units.Length ?? 0).Select(u => string.Create(CultureInfo.InvariantCulture, $"units/chats_{u:D5}_by_{step!._settings.UnitConversations}.jsonl"))];

    /// <summary>Measures and publishes the units of this process's share that are missing.</summary>
    public void Measure(UnitFolder units)
    {
        IReadOnlyDictionary<int, UnitManifest> published = units.Published();
        if (units.Closed)
        {
            return;
        }

        int[] mine = [.. Enumerable.Range(0, _units.Length).Where(units.Takes)];
        int[] missing = [.. mine.Where(u => !published.ContainsKey(u) && !units.TryAdopt(u, path => TryRead(path, u) is not null))];
        if (units.Share is { } share)
        {
            _context.Progress.Line(string.Create(
                CultureInfo.InvariantCulture,
                $"{What}: task {share.Task} of {share.Of} makes {mine.Length} of {_units.Length} units, {mine.Sum(u => _units[u].Length)} of {_chats.Length} chats ({missing.Sum(u => _units[u].Length)} are left)"));
        }

        if (missing.Length > 0)
        {
            Measure(units, missing, mine.Sum(u => _units[u].Length));
        }
    }

    /// <summary>The results, of units that are all published.</summary>
    public InterventionResults Results(UnitFolder units)
    {
        List<ChatSums> chats = [];
        for (int u = 0; u < _units.Length; u++)
        {
            chats.AddRange(TryRead(units.PathOf(u), u) ?? throw new DiffractException($"{units.PathOf(u)} has been changed by another process meanwhile; call the same command again"));
        }

        InterventionResults results = InterventionStudy.Results(_sets, _edits, chats, _settings.Resamples, (ulong)_settings.Seed);
        return _chats.Length < _settings.Conversations
            ? results with { Notes = [.. results.Notes, string.Create(CultureInfo.InvariantCulture, $"{_chats.Length} held-out chats have an answer, {_settings.Conversations} were asked for")] }
            : results;
    }

    /// <summary>What is wrong with a unit's file beyond its checksum, or null.</summary>
    public string? Fault(UnitFolder units, int unit)
        => TryRead(units.PathOf(unit), unit) is null ? $"{_context.Run.Relative(units.PathOf(unit))} does not hold the {_units[unit].Length} chats of unit {unit}: foreign or damaged" : null;

    /// <summary>Held-out chats with an answer, by seeded hash of their number, in order of number.</summary>
    static EditChat[] Choose(TokenStore tokens, EvidenceSettings settings)
        => [.. tokens.Documents.Where(d => d.Source == TextSource.Chat && d.Split == Split.HeldOut)
            .OrderBy(d => SeededHash.Of((ulong)settings.Seed + 1, (ulong)d.Number)).ThenBy(d => d.Number)
            .Select(d => new EditChat(d.Number, tokens.Ids(d).ToArray(), AnswerMasks.Of(tokens.Roles(d))) { SkipFirst = tokens.SkipFirst, BaseIds = tokens.Ids(d, 0).ToArray() })
            .Where(c => c.Masks.All.Contains(true)).Take(settings.Conversations).OrderBy(c => c.Key)];

    static PoolLatent Pool(LatentRow latent, ScalingRow scaling)
        => new(latent.Latent, latent.DeltaNorm, scaling.NuError, scaling.NuReconstruction, latent.Rate, latent.Class == LatentClass.Shared && !latent.Dead);

    void Measure(UnitFolder units, int[] missing, int total)
    {
        _tokens.RequireCheckpoints(_context.Run);
        EditChat[] left = [.. missing.SelectMany(u => _units[u])];
        int maxTokens = Math.Max(SmallestBatch, left.Max(c => c.Ids.Length));
        EvidenceMemory memory = EvidenceMemory.Choose([_tokens.BaseModel, _tokens.ChatModel], _layer, _latents, _edits.Count, baseHead: false, maxTokens, _context.Memory);
        string folder = _context.Run.Crosscoder(_settings.Name);
        using Crosscoder crosscoder = CrosscoderFolder.Load(folder, _context.Backend);
        LooseIntervention.RequireThreshold(crosscoder, _context.Run.Relative(folder), _settings.AllowUnsetThreshold, _context.Progress);
        using Llm baseModel = Llm.Load(_tokens.BaseModel, _context.Backend, maxTokens, headNeeded: false);
        using Llm chatModel = Llm.Load(_tokens.ChatModel, _context.Backend, maxTokens);
        using InterventionRunner runner = new(
            _context.Backend, baseModel, chatModel, crosscoder, _layer, _edits, InterventionStudy.SetsInOrder(_sets), maxTokens, everyPosition: false, memory.LogitRows)
        {
            Together = memory.Models.Together,
        };
        _context.Progress.Line(string.Create(
            CultureInfo.InvariantCulture, $"{What}: {left.Length} chats, {left.Sum(c => c.Ids.Length):N0} tokens, {_edits.Count} edits after block {_layer}, pool of {_sets.PoolAfterFilter} latents"));
        _context.Progress.Line($"{What}: {memory.Models.Why}");
        int done = total - left.Length;
        foreach (int unit in missing)
        {
            if (units.Closed)
            {
                return;
            }

            Measure(units, unit, runner, ref done, total);
        }
    }

    void Measure(UnitFolder units, int unit, InterventionRunner runner, ref int done, int total)
    {
        System.Diagnostics.Stopwatch clock = System.Diagnostics.Stopwatch.StartNew();
        List<string> lines = [];
        foreach (ChatEffects effects in runner.Run(_units[unit], _context.Stop))
        {
            lines.Add(JsonSerializer.Serialize(ChatSums.Of(effects), OneLine) + "\n");
            _context.Progress.Report(What, ++done, total, "chats");

            // A unit whose last chat is done is published, whatever stops the next one.
            if (lines.Count < _units[unit].Length)
            {
                _context.Stop.ThrowIfCancellationRequested();
            }
        }

        units.Publish(unit, path => AtomicFile.WriteText(path, string.Concat(lines)), path => TryRead(path, unit) is not null, clock.Elapsed.TotalSeconds);
        _context.Stop.ThrowIfCancellationRequested();
    }

    /// <summary>The chats of a unit, or null where the file does not hold just them.</summary>
    List<ChatSums>? TryRead(string path, int unit)
    {
        try
        {
            List<ChatSums> chats = [.. File.ReadLines(path).Select(l => JsonSerializer.Deserialize<ChatSums>(l, OneLine)!)];
            return chats.Select(c => c?.Document).SequenceEqual(_units[unit].Select(c => (int?)c.Key)) && chats.TrueForAll(Whole) ? chats : null;
        }
        catch (Exception e) when (e is JsonException or FileNotFoundException or DirectoryNotFoundException)
        {
            return null;
        }
    }

    bool Whole(ChatSums sums)
        => sums.Counts?.Length == Subset.Names.Count && (sums.NllCounts is null || sums.NllCounts.Length == Subset.Names.Count) && Rows(sums.Kl) && Rows(sums.Nll);

    bool Rows(double[][]? rows) => rows?.Length == _edits.Count && Array.TrueForAll(rows, r => r?.Length == Subset.Names.Count);
}
