using System.Text.Json.Nodes;
using Diffract.Activations.Caches;
using Diffract.Compute;
using Diffract.Compute.Buffers;
using Diffract.Formats;
using Diffract.Runs;
using Diffract.Tokens;

namespace Diffract.Activations;

/// <summary>
/// The activations of a run at one layer, memory-mapped: row r holds the residual of the token store's row r (its token r, unless some are not kept) in every model, end to end [E]. A smaller store keeps
/// the first documents of each split but training; its rows have the token store's numbers too, and those it lacks are refused. Reading allocates nothing and may be done by several threads at once.
/// </summary>
public sealed class ActivationStore : IDisposable
{
    internal const string StatisticsFile = "statistics.safetensors";

    internal const string KeepTokensSetting = "keepTokens";

    // Checksums of smaller stores are computed whenever they are opened (a second or two at most); of larger ones lengths and headers are checked.
    const long CheckedBytes = 4L << 30;

    readonly IShard[] _shards;
    readonly long[] _firstRows;
    readonly string _statistics;
    readonly KeptRows? _kept;

    ActivationStore(string folder, LayerPair layer, StageManifest manifest, CachePair? cache)
    {
        Manifest = manifest;
        Layer = layer;
        Cache = cache;
        Widths = [.. manifest.Settings["widths"]!.AsArray().Select(w => (int)w!)];
        ModelOffsets = Offsets(Widths);

        _statistics = Path.Combine(folder, StatisticsFile);
        _shards = cache is null ? OpenShards(folder, manifest) : CacheSegment.Open(cache);
        Rows = _shards.Sum(s => (long)s.Rows);
        _firstRows = [.. _shards.Select(s => s.FirstRow)];
        _kept = KeepTokens is null ? null : KeptRows.Open(folder);
        if (_kept is { } kept && kept.Rows != Rows)
        {
            Dispose();
            throw new DiffractException($"{folder} holds {Rows} rows, its {KeptRows.FileName} names {kept.Rows}: foreign or damaged; train with --stream --fresh");
        }
    }

    IShard[] OpenShards(string folder, StageManifest manifest)
    {
        List<IShard> shards = [];
        long rows = 0;
        try
        {
            foreach (string name in manifest.Outputs.Keys.Where(n => n.StartsWith("shard_", StringComparison.Ordinal)).Order(StringComparer.Ordinal))
            {
                ShardFile shard = ShardFile.Open(Path.Combine(folder, name), ModelOffsets);
                shards.Add(shard);
                if (shard.FirstRow != rows)
                {
                    throw new DiffractException($"{Path.Combine(folder, name)} holds rows from {shard.FirstRow} on, wanted row {rows}: foreign or damaged; run `diffract harvest --fresh`");
                }

                rows += shard.Rows;
            }
        }
        catch
        {
            shards.ForEach(s => s.Dispose());
            throw;
        }

        return [.. shards];
    }

    public StageManifest Manifest { get; }

    /// <summary>The caches that the rows are read from in place; null where the run has shards of its own.</summary>
    internal CachePair? Cache { get; }

    /// <summary>0-based block whose output this is.</summary>
    public LayerPair Layer { get; }

    /// <summary>Width of each model.</summary>
    public IReadOnlyList<int> Widths { get; }

    /// <summary>[M + 1]: model m has the columns ModelOffsets[m] .. ModelOffsets[m + 1] - 1.</summary>
    public int[] ModelOffsets { get; }

    /// <summary>Sum of the models' widths.</summary>
    public int E => ModelOffsets[^1];

    /// <summary>Rows that are stored: all of the token store, or those that a smaller store keeps.</summary>
    public long Rows { get; }

    /// <summary>What activations are rounded to; of a cache that is read in place float32, where it has anything but bfloat16.</summary>
    public StorageKind Storage => Cache is not null && (string?)Manifest.Settings["storage"] != StorageKind.BFloat16.Name() ? StorageKind.Float32 : _shards is [ShardFile shard, ..] ? shard.Storage : StorageKind.BFloat16;

    /// <summary>Of a smaller store, the rows after which it keeps no further document, by split and source; null: everything is stored.</summary>
    public long? KeepTokens => (long?)Manifest.Settings[KeepTokensSetting];

    /// <summary>The activations of a run; missing, stale, truncated or damaged ones are refused by file.</summary>
    public static ActivationStore Open(RunFolder run, LayerPair layer)
    {
        string folder = run.Activations(layer);
        string makeIt = $"diffract harvest {run.Root} --layer {layer}";
        bool small = StageManifest.TryLoad(folder) is { } made && made.Outputs.Values.Sum(s => s.Bytes) <= CheckedBytes;
        StageManifest manifest = Provenance.Require(run, folder, makeIt, thorough: small);
        return new ActivationStore(folder, layer, manifest, manifest.Settings[CacheSource.Key] is null ? null : CacheSource.Open(run.Relative(folder), manifest, $"diffract activations {run.Root} --cache …"));
    }

    /// <summary>Whether the document's activations are stored.</summary>
    public bool Holds(TokenDocument document) => _kept is null || _kept.Holds(document.FirstRow, document.Rows);

    /// <exception cref="DiffractException">Other tokens than those that were harvested, or documents that a smaller store does not keep.</exception>
    public void Require(TokenStore tokens, IReadOnlyList<TokenDocument> documents)
    {
        if (_kept is null && Rows != tokens.Rows)
        {
            throw new DiffractException($"the activations of layer {Layer} have {Rows} rows, the tokens have {tokens.Rows}; run `diffract harvest --fresh`");
        }

        if (_kept is not null && documents.FirstOrDefault(d => !Holds(d)) is { } lacking)
        {
            throw new DiffractException(
                $"the activations of layer {Layer} are the smaller store that `train --stream` keeps, without document {lacking.Number} ({lacking.Split}); train with --stream, or run `diffract harvest --fresh` for all");
        }
    }

    /// <summary>Mean and unbiased variance of each column [E] over all stored rows, in double, taken before rounding.</summary>
    public (double[] Mean_E, double[] Variance_E) Statistics()
    {
        using SafetensorsFile file = SafetensorsFile.Open(_statistics);
        return ([.. Widths.SelectMany((w, m) => file.Doubles($"model.{m}.mean", w))], [.. Widths.SelectMany((w, m) => file.Doubles($"model.{m}.variance", w))]);
    }

    /// <summary>Rows firstRow .. firstRow + count - 1 of the token store as float32 into the first rows of <paramref name="acts_BE"/>, a host matrix.</summary>
    public void Read(long firstRow, int count, Matrix acts_BE)
    {
        CheckTarget(count, acts_BE);
        ArgumentOutOfRangeException.ThrowIfNegative(firstRow);
        firstRow = _kept?.PlaceOf(firstRow, count) ?? firstRow;
        ArgumentOutOfRangeException.ThrowIfGreaterThan(firstRow + count, Rows);
        int shard = count > 0 ? Find(firstRow) : 0;
        for (int i = 0; i < count; i++)
        {
            while (firstRow + i >= _firstRows[shard] + _shards[shard].Rows)
            {
                shard++;
            }

            _shards[shard].Read((int)(firstRow + i - _firstRows[shard]), acts_BE.Row(i));
        }
    }

    /// <summary>The given rows, in the given order, as float32 into the first rows of <paramref name="acts_BE"/>, a host matrix.</summary>
    public void Gather(ReadOnlySpan<long> rows, Matrix acts_BE)
    {
        CheckTarget(rows.Length, acts_BE);
        for (int i = 0; i < rows.Length; i++)
        {
            long row = _kept?.PlaceOf(rows[i], 1) ?? rows[i];
            ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((ulong)row, (ulong)Rows);
            int shard = Find(row);
            _shards[shard].Read((int)(row - _firstRows[shard]), acts_BE.Row(i));
        }
    }

    public void Dispose()
    {
        foreach (IShard shard in _shards)
        {
            shard.Dispose();
        }
    }

    // The message is put together only when it is needed: reading allocates nothing.
    void CheckTarget(int rows, Matrix acts_BE)
    {
        if (rows > acts_BE.Rows || acts_BE.Columns != E)
        {
            throw new ShapeException("read activations", "acts is [at least rows, E]", $"{rows} rows of {E} into {acts_BE}");
        }
    }

    int Find(long row)
    {
        int at = Array.BinarySearch(_firstRows, row);
        return at >= 0 ? at : ~at - 1;
    }

    /// <summary>[M + 1]: where each model's columns begin.</summary>
    internal static int[] Offsets(IReadOnlyList<int> widths)
    {
        int[] offsets = new int[widths.Count + 1];
        for (int m = 0; m < widths.Count; m++)
        {
            offsets[m + 1] = offsets[m] + widths[m];
        }

        return offsets;
    }

    internal static JsonArray Numbers(IEnumerable<int> values) => new([.. values.Select(v => (JsonNode)v)]);
}
