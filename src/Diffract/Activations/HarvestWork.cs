using System.Diagnostics;
using System.Globalization;
using System.Text.Json.Nodes;
using Diffract.Llms;
using Diffract.Runs;
using Diffract.Tokens;

namespace Diffract.Activations;

/// <summary>One process's work on a store: computes and publishes the shards of its share that are missing, and closes the store where nothing is missing any more.</summary>
sealed class HarvestWork : IDisposable
{
    readonly StageContext _context;
    readonly HarvestSettings _settings;
    readonly TokenStore _tokens;
    readonly (string Name, string Folder)[] _models;
    readonly LlmConfig[] _configs;
    readonly IReadOnlyList<TokenDocument> _documents;
    readonly List<ShardPlan> _shards;
    readonly long _rows;
    readonly UnitFolder _units;
    readonly string _folder;
    readonly LayerPair _layer;
    readonly int[] _widths, _offsets;
    readonly Stopwatch _clock = Stopwatch.StartNew();
    long _computed;

    public HarvestWork(StageContext context, HarvestSettings settings, TokenStore tokens, (string Name, string Folder)[] models, LayerPair layer)
    {
        (_context, _settings, _tokens, _models, _layer) = (context, settings, tokens, models, layer);
        _configs = [.. models.Select(m => LlmConfig.Load(m.Folder))];
        _widths = [.. _configs.Select(c => c.Width)];
        _offsets = ActivationStore.Offsets(_widths);
        _folder = context.Run.Activations(layer);
        _documents = settings.KeepTokens is { } most ? KeptRows.Choose(tokens.Documents, most) : tokens.Documents;
        _shards = ShardPlan.Of(_documents, settings.ShardTokens);
        _rows = _shards.Sum(s => (long)s.Rows);
        _units = new UnitFolder(_folder, settings.Share, [.. _shards.Select(s => s.FileName)], context);
    }

    public void Run(StageManifest plan)
    {
        Compute();

        // What is found damaged is made again here, once, where this process makes everything.
        if (!Close(plan, again: _settings.Share is null))
        {
            Compute();
            Close(plan, again: false);
        }
    }

    public void Dispose() => _units.Dispose();

    static long Free(string folder) => new DriveInfo(folder).AvailableFreeSpace;

    bool Fits(ShardPlan shard, string path)
    {
        using ShardFile? file = ShardFile.TryOpen(path, shard, _offsets, _settings.Storage);
        return file is not null;
    }

    void Compute()
    {
        ShardPlan[] mine = [.. _shards.Where(s => _units.Takes(s.Number))];
        IReadOnlyDictionary<int, UnitManifest> published = _units.Published();
        if (_units.Closed)
        {
            return;
        }

        ShardPlan[] missing = [.. mine.Where(s => !IsThere(s, published))];
        if (missing.Length == 0)
        {
            Announce(mine, missing, null, null);
            return;
        }

        int longest = Harvester.Longest(_tokens), batch = Math.Max(_settings.BatchTokens, longest);
        long rows = mine.Sum(s => (long)s.Rows), there = rows - missing.Sum(s => (long)s.Rows);
        HarvestNeeds needs = HarvestNeeds.Of(
            [.. _models.Select(m => m.Folder)], _layer, missing.Max(s => s.Rows), rows, there * _settings.Storage.RowBytes(_widths), batch, longest, _settings.Storage, _context.Memory);
        needs.Check(_context.Run.Root, Free(_context.Run.Root));
        using Harvester harvester = new(_context.Backend, _tokens, _models, [_layer], _settings.BatchTokens, needs.Models.Together);
        Announce(mine, missing, needs, harvester);
        Compute(missing, there, rows, harvester, needs);
    }

    /// <summary>Whether the shard is published; one that is not what its manifest says, or lies there without one, is seen to.</summary>
    bool IsThere(ShardPlan shard, IReadOnlyDictionary<int, UnitManifest> published)
    {
        if (!published.ContainsKey(shard.Number))
        {
            return _units.TryAdopt(shard.Number, path => Fits(shard, path));
        }

        if (Fits(shard, _units.PathOf(shard.Number)))
        {
            return true;
        }

        _context.Progress.Warn($"{_context.Run.Relative(_units.PathOf(shard.Number))} is gone or damaged though it was published; it is made again");
        _units.Withdraw(shard.Number);
        return false;
    }

    void Announce(ShardPlan[] mine, ShardPlan[] missing, HarvestNeeds? needs, Harvester? harvester)
    {
        long rows = mine.Sum(s => (long)s.Rows), left = missing.Sum(s => (long)s.Rows);
        string there = left < rows ? string.Create(CultureInfo.InvariantCulture, $" ({rows - left:N0} are there already)") : "";
        _context.Progress.Line(string.Create(
            CultureInfo.InvariantCulture,
            $"harvest: output of block {_layer} of {_configs[0].Layers}, {_rows:N0} tokens{(_settings.Share is null ? there : "")}{(_rows < _tokens.Tokens ? $" of {_tokens.Tokens:N0} read" : "")}, widths {string.Join(" + ", _widths)}, {_settings.Storage.Name()}"));
        if (_settings.Share is { } share)
        {
            string units = mine.Length == 0
                ? string.Create(CultureInfo.InvariantCulture, $"none of the {_shards.Count} units")
                : string.Create(CultureInfo.InvariantCulture, $"{mine.Length} of {_shards.Count} units ({string.Join(", ", mine.Take(8).Select(s => s.Number))}{(mine.Length > 8 ? ", …" : "")}), {rows:N0} tokens{there}");
            _context.Progress.Line(string.Create(CultureInfo.InvariantCulture, $"harvest: task {share.Task} of {share.Of} makes {units}; all take {HarvestNeeds.Size(_rows * _settings.Storage.RowBytes(_widths))} on disk"));
        }

        if (needs is null || harvester is null)
        {
            _context.Progress.Line("harvest: nothing left to compute");
            return;
        }

        double rate = harvester.Probe(_documents[missing[0].FirstDocument].Number), seconds = left * ((double)_tokens.Tokens / _tokens.Rows) / rate;
        string time = string.Create(CultureInfo.InvariantCulture, $"about {HarvestNeeds.Time(seconds)} at {rate:N0} tokens/s");
        _context.Progress.Line($"harvest: {HarvestNeeds.Size(needs.Bytes)} on disk ({HarvestNeeds.Size(Free(_folder))} free), {time}, {_context.Backend.Description}");
        _context.Progress.Line($"harvest: {needs.Models.Why} of memory{(needs.Buffers == 1 ? ", each shard written before the next is computed" : "")}");
    }

    /// <summary>Computes shards, each published while the next is computed.</summary>
    void Compute(ShardPlan[] missing, long done, long rows, Harvester harvester, HarvestNeeds needs)
    {
        int most = missing.Max(s => s.Rows);
        ShardRows[] buffers = [.. Enumerable.Range(0, needs.Buffers).Select(_ => new ShardRows(_settings.Storage, _widths, most))];
        RunningMoments[] moments = [new(_offsets[^1]), new(_offsets[^1])];
        Task publishing = Task.CompletedTask;
        try
        {
            int turn = 0;
            foreach (ShardPlan shard in missing)
            {
                if (buffers.Length == 1)
                {
                    publishing.GetAwaiter().GetResult();
                }

                if (_units.Closed)
                {
                    return;
                }

                (ShardRows rows_BE, RunningMoments moment) = (buffers[turn], moments[turn]);
                turn = (turn + 1) % buffers.Length;
                double from = _clock.Elapsed.TotalSeconds;
                harvester.Fill([.. _documents.Skip(shard.FirstDocument).Take(shard.Documents)], [rows_BE], [moment], part => _context.Progress.Report("harvest", done + part, rows, "tokens"), _context.Stop);
                (done, _computed) = (done + shard.Rows, _computed + shard.Rows);
                double spent = _clock.Elapsed.TotalSeconds - from;
                publishing.GetAwaiter().GetResult();
                publishing = Task.Run(() => _units.Publish(shard.Number, path => ShardFile.Save(path, shard, rows_BE, moment), path => Fits(shard, path), spent));
            }
        }
        finally
        {
            // A shard that is being written is finished, whatever stopped the next one.
            publishing.GetAwaiter().GetResult();
            Array.ForEach(buffers, b => b.Dispose());
        }
    }

    /// <summary>Closes the store where all units are published; false: some were damaged and have been taken back.</summary>
    bool Close(StageManifest plan, bool again)
    {
        IReadOnlyDictionary<int, UnitManifest> published = _units.Published();
        if (_units.Closed)
        {
            _context.Progress.Done("harvest", $"activations of layer {_layer} were closed by another process");
            return true;
        }

        int[] missing = [.. _shards.Select(s => s.Number).Where(n => !published.ContainsKey(n))];
        if (missing.Length > 0)
        {
            TaskShare share = _settings.Share ?? throw new DiffractException($"{_context.Run.Relative(_folder)} has been changed by another process meanwhile: {UnitFolder.Missing(missing, _shards.Count, 1)}; call the same command again");
            _context.Progress.Done("harvest", $"task {share.Task} of {share.Of} is done; {UnitFolder.Missing(missing, _shards.Count, share.Of)}; the last task, or `diffract harvest {_context.Run.Root} --layer {_layer}`, closes the store");
            return true;
        }

        if (!Check(published, again))
        {
            return false;
        }

        Finish(plan, published);
        return true;
    }

    /// <summary>Lengths and checksums of what other processes, or earlier calls, have published. What does not fit is taken back, and refused by name unless it is made again at once.</summary>
    bool Check(IReadOnlyDictionary<int, UnitManifest> published, bool again)
    {
        List<(int Unit, string Why)> faults = [];
        foreach (UnitManifest manifest in published.Values)
        {
            _context.Stop.ThrowIfCancellationRequested();
            ShardPlan shard = _shards[manifest.Unit];
            string? fault = _units.Fault(manifest) ?? (Fits(shard, _units.PathOf(shard.Number)) ? null : $"{_context.Run.Relative(_units.PathOf(shard.Number))} is not shard {shard.Number} of these tokens: foreign or damaged");
            if (fault is not null)
            {
                faults.Add((manifest.Unit, fault));
            }

            _context.Progress.Report("harvest: checking what is published", manifest.Unit + 1, _shards.Count, "units");
        }

        faults.ForEach(f => _units.Withdraw(f.Unit));
        if (faults.Count == 0)
        {
            return true;
        }

        string why = string.Join("; ", faults.Select(f => f.Why));
        if (!again)
        {
            string missing = UnitFolder.Missing([.. faults.Select(f => f.Unit)], _shards.Count, _settings.Share?.Of ?? 1);
            throw new DiffractException($"{why}; taken back, so that {missing}: run that again, or `diffract harvest {_context.Run.Root} --layer {_layer}`");
        }

        _context.Progress.Warn(why + "; made again");
        return false;
    }

    /// <summary>The share of each model's variance that its stored rows keep, said and returned.</summary>
    JsonArray VarianceKept(RunningMoments all)
    {
        double[] kept = [.. _widths.Select((w, m) => all.Kept(_offsets[m], w))];
        _context.Progress.Line(string.Create(
            CultureInfo.InvariantCulture, $"harvest: stored as {_settings.Storage.Name()} the activations keep {string.Join(", ", kept.Select((k, m) => $"{100 * k:F5}% of the {_models[m].Name} model's variance"))}"));
        return new JsonArray([.. kept.Select(k => (JsonNode)k)]);
    }

    void Finish(StageManifest plan, IReadOnlyDictionary<int, UnitManifest> published)
    {
        RunningMoments all = new(_offsets[^1]);
        foreach (ShardPlan shard in _shards)
        {
            using ShardFile made = ShardFile.Open(_units.PathOf(shard.Number), _offsets);
            all.Merge(made.Moments());
        }

        FileSeal statistics = StatisticsFile.Save(_units.Making, all, _widths);
        _units.PlaceOutput(ActivationStore.StatisticsFile, statistics);
        Dictionary<string, FileSeal> outputs = published.Values.ToDictionary(m => m.File, m => m.Seal);
        outputs[ActivationStore.StatisticsFile] = statistics;
        if (_settings.KeepTokens is not null)
        {
            FileSeal kept = KeptRows.Save(_units.Making, _documents);
            _units.PlaceOutput(KeptRows.FileName, kept);
            outputs[KeptRows.FileName] = kept;
        }

        double rate = _computed / _clock.Elapsed.TotalSeconds;
        JsonObject facts = new() { ["rows"] = _rows, ["e"] = _offsets[^1], ["shards"] = _shards.Count, ["computedTokens"] = _computed, ["tokensPerSecond"] = rate, ["varianceKept"] = VarianceKept(all) };
        string[] backends = [.. published.Values.Select(m => m.Backend).Where(b => b.Length > 0).Distinct().Order(StringComparer.Ordinal)];
        if (backends.Length > 1)
        {
            facts["backends"] = new JsonArray([.. backends.Select(b => (JsonNode)b)]);
        }

        bool first = _context.Finish(_units, _folder, plan with { Outputs = outputs, Facts = facts, Seconds = Math.Max(_clock.Elapsed.TotalSeconds, published.Values.Sum(m => m.Seconds)) });
        string speed = _computed > 0 ? string.Create(CultureInfo.InvariantCulture, $", {rate:N0} tokens/s") : "";
        _context.Progress.Done("harvest", first
            ? string.Create(CultureInfo.InvariantCulture, $"{_rows:N0} tokens of {_models.Length} models at layer {_layer}{speed}")
            : $"activations of layer {_layer} were closed by another process");
    }
}
