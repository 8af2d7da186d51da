using System.IO.Hashing;
using Diffract.Runs;

namespace Diffract.Activations.Caches;

/// <summary>
/// One pass over all bytes of both caches: checksums, whether every value is finite, and the moments of the rows. Files are read, not mapped: one that shrinks meanwhile gives an error and no fault. Shards are
/// taken on all cores, and merged in order.
/// </summary>
static class CacheScan
{
    const int ReadBytes = 1 << 22;

    /// <param name="pair">What to read.</param>
    /// <param name="progress">Who listens.</param>
    /// <param name="stop">Stops between two reads.</param>
    /// <returns>Seal of each file by its path, and for each model its moments.</returns>
    /// <exception cref="DiffractException">A value is not finite, or a file is not what it was when it was opened.</exception>
    public static (Dictionary<string, FileSeal> Seals, RunningMoments[] Moments) Read(CachePair pair, IProgressSink progress, CancellationToken stop)
    {
        CacheShard[] shards = [.. pair.Models.SelectMany(m => m.Shards)];
        RunningMoments[] moments = new RunningMoments[shards.Length];
        FileSeal[] seals = new FileSeal[shards.Length];
        long done = 0, rows = shards.Sum(s => (long)s.Rows);
        object gate = new();
        try
        {
            Parallel.For(0, shards.Length, new ParallelOptions { CancellationToken = stop, MaxDegreeOfParallelism = Environment.ProcessorCount }, i =>
                (seals[i], moments[i]) = ReadShard(shards[i], count =>
                {
                    lock (gate)
                    {
                        progress.Report("activations", done += count, rows, "rows");
                    }
                }, stop));
        }
        catch (AggregateException e) when (e.InnerExceptions.OfType<DiffractException>().FirstOrDefault() is { } inner)
        {
            throw inner;
        }

        Dictionary<string, FileSeal> all = new(StringComparer.Ordinal);
        foreach (string file in pair.Models.SelectMany(m => m.Files()).Except(shards.Select(s => s.Path)))
        {
            all[file] = AtomicFile.Seal(file);
        }

        RunningMoments[] merged = [.. pair.Models.Select(m => new RunningMoments(m.Width))];
        for (int i = 0; i < shards.Length; i++)
        {
            all[shards[i].Path] = seals[i];
            merged[i < pair.Base.Shards.Count ? 0 : 1].Merge(moments[i]);
        }

        return (all, merged);
    }

    /// <summary>Calls <paramref name="take"/> with stretches of whole rows, in order.</summary>
    /// <param name="shard">Which to read.</param>
    /// <param name="take">First row of the stretch in the shard, and its bytes.</param>
    /// <param name="stop">Stops between two reads.</param>
    public static void Rows(CacheShard shard, Action<int, ReadOnlySpan<byte>> take, CancellationToken stop)
    {
        int step = Math.Max(1, ReadBytes / shard.RowBytes);
        byte[] buffer = new byte[Math.Min(step, shard.Rows) * shard.RowBytes];
        try
        {
            using FileStream file = new(shard.Path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite, 0, FileOptions.SequentialScan);
            for (int row = 0; row < shard.Rows; row += step)
            {
                stop.ThrowIfCancellationRequested();
                Span<byte> bytes = buffer.AsSpan(0, Math.Min(step, shard.Rows - row) * shard.RowBytes);
                file.ReadExactly(bytes);
                take(row, bytes);
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new DiffractException($"cannot read {shard.Path} to its end: {(e is EndOfStreamException ? "it has become shorter" : e.Message)}; wait until the collector is done", inner: e);
        }
    }

    static (FileSeal Seal, RunningMoments Moments) ReadShard(CacheShard shard, Action<int> report, CancellationToken stop)
    {
        RunningMoments moments = new(shard.Width);
        XxHash128 hash = new();
        float[] row_D = new float[shard.Width];
        Rows(shard, (first, bytes) =>
        {
            hash.Append(bytes);
            int count = bytes.Length / shard.RowBytes;
            for (int i = 0; i < count; i++)
            {
                shard.Type.Widen(bytes.Slice(i * shard.RowBytes, shard.RowBytes), row_D);
                RequireFinite(shard, first + i, row_D);
                moments.Add(row_D, 0, first + i + 1);
            }

            moments.Advance(count);
            report(count);
        }, stop);
        return (new FileSeal(shard.Bytes, Convert.ToHexStringLower(hash.GetCurrentHash())), moments);
    }

    internal static void RequireFinite(CacheShard shard, int row, ReadOnlySpan<float> row_D)
    {
        float sum = 0;
        foreach (float v in row_D)
        {
            sum += v - v;
        }

        // 0 where all are finite, else NaN.
        if (sum != 0)
        {
            int column = 0;
            while (float.IsFinite(row_D[column]))
            {
                column++;
            }

            throw new DiffractException($"{shard.Path} holds {(float.IsNaN(row_D[column]) ? "NaN" : "infinity")} in row {row}, column {column} (row {shard.FirstRow + row} of the cache): collect it again");
        }
    }
}
