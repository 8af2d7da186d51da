using System.Text.Json.Nodes;
using Diffract.Compute;
using Diffract.Compute.Buffers;
using Diffract.Formats;
using Diffract.Runs;

namespace Diffract.Activations;

/// <summary>
/// The activations of a run at one layer, memory-mapped: row r holds the residual of the token store's row r (its token r, unless some are not kept) in every model, end to end [E]. Reading allocates
/// nothing and may be done by several threads at once.
/// </summary>
public sealed class ActivationStore : IDisposable
{
    internal const string StatisticsFile = "statistics.safetensors";

    // Checksums of smaller stores are computed whenever they are opened (a second or two at most); of larger ones lengths and headers are checked.
    const long CheckedBytes = 4L << 30;

    readonly ShardFile[] _shards;
    readonly long[] _firstRows;
    readonly string _statistics;

    ActivationStore(string folder, int layer, StageManifest manifest)
    {
        Manifest = manifest;
        Layer = layer;
        Widths = [.. manifest.Settings["widths"]!.AsArray().Select(w => (int)w!)];
        ModelOffsets = Offsets(Widths);

        _statistics = Path.Combine(folder, StatisticsFile);
        List<ShardFile> shards = [];
        try
        {
            foreach (string name in manifest.Outputs.Keys.Where(n => n.StartsWith("shard_", StringComparison.Ordinal)).Order(StringComparer.Ordinal))
            {
                ShardFile shard = ShardFile.Open(Path.Combine(folder, name), ModelOffsets);
                shards.Add(shard);
                if (shard.FirstRow != Rows)
                {
                    throw new DiffractException($"{Path.Combine(folder, name)} holds rows from {shard.FirstRow} on, wanted row {Rows}: foreign or damaged; run `diffract harvest --fresh`");
                }

                Rows += shard.Rows;
            }
        }
        catch
        {
            shards.ForEach(s => s.Dispose());
            throw;
        }

        _shards = [.. shards];
        _firstRows = [.. shards.Select(s => s.FirstRow)];
    }

    public StageManifest Manifest { get; }

    /// <summary>0-based block whose output this is.</summary>
    public int Layer { get; }

    /// <summary>Width of each model.</summary>
    public IReadOnlyList<int> Widths { get; }

    /// <summary>[M + 1]: model m has the columns ModelOffsets[m] .. ModelOffsets[m + 1] - 1.</summary>
    public int[] ModelOffsets { get; }

    /// <summary>Sum of the models' widths.</summary>
    public int E => ModelOffsets[^1];

    /// <summary>Rows of the token store.</summary>
    public long Rows { get; }

    /// <summary>The activations of a run; missing, stale, truncated or damaged ones are refused by file.</summary>
    public static ActivationStore Open(RunFolder run, int layer)
    {
        string folder = run.Activations(layer);
        string makeIt = $"diffract harvest {run.Root} --layer {layer}";
        bool small = StageManifest.TryLoad(folder) is { } made && made.Outputs.Values.Sum(s => s.Bytes) <= CheckedBytes;
        return new ActivationStore(folder, layer, Provenance.Require(run, folder, makeIt, thorough: small));
    }

    /// <summary>Mean and unbiased variance of each column [E] over all rows, in double, taken before rounding.</summary>
    public (double[] Mean_E, double[] Variance_E) Statistics()
    {
        using SafetensorsFile file = SafetensorsFile.Open(_statistics);
        return ([.. Widths.SelectMany((w, m) => file.Doubles($"model.{m}.mean", w))], [.. Widths.SelectMany((w, m) => file.Doubles($"model.{m}.variance", w))]);
    }

    /// <summary>Rows firstRow .. firstRow + count - 1 as float32 into the first rows of <paramref name="acts_BE"/>, a host matrix.</summary>
    public void Read(long firstRow, int count, Matrix acts_BE)
    {
        CheckTarget(count, acts_BE);
        ArgumentOutOfRangeException.ThrowIfNegative(firstRow);
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
            ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((ulong)rows[i], (ulong)Rows);
            int shard = Find(rows[i]);
            _shards[shard].Read((int)(rows[i] - _firstRows[shard]), acts_BE.Row(i));
        }
    }

    public void Dispose()
    {
        foreach (ShardFile shard in _shards)
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
