using Diffract.Formats;
using Diffract.Runs;

namespace Diffract.Activations.Caches;

/// <summary>Rows of both caches that lie in one shard of each, read in place from the mapped files.</summary>
sealed unsafe class CacheSegment : IShard
{
    readonly MappedFile[] _files;
    readonly CacheShard[] _shards;
    readonly long[] _begins;
    readonly int[] _offsets;

    CacheSegment(long firstRow, int rows, (MappedFile File, CacheShard Shard)[] models, int[] offsets)
    {
        (FirstRow, Rows, _offsets) = (firstRow, rows, offsets);
        (_files, _shards) = ([.. models.Select(m => m.File)], [.. models.Select(m => m.Shard)]);
        _begins = [.. _shards.Select(s => (firstRow - s.FirstRow) * s.RowBytes)];
    }

    public long FirstRow { get; }

    public int Rows { get; }

    /// <summary>Maps the shards of a pair and cuts its rows where a shard of either model ends.</summary>
    public static CacheSegment[] Open(CachePair pair)
    {
        int[] offsets = ActivationStore.Offsets(pair.Widths);
        Dictionary<string, MappedFile> files = new(StringComparer.Ordinal);
        List<CacheSegment> segments = [];
        try
        {
            int[] at = new int[pair.Models.Length];
            for (long row = 0; row < pair.Rows;)
            {
                CacheShard[] shards = [.. pair.Models.Select((m, i) => m.Shards[at[i]])];
                long end = shards.Min(s => s.FirstRow + s.Rows);
                segments.Add(new CacheSegment(row, (int)(end - row), [.. shards.Select(s => (Map(s), s))], offsets));
                for (int m = 0; m < shards.Length; m++)
                {
                    at[m] += shards[m].FirstRow + shards[m].Rows == end ? 1 : 0;
                }

                row = end;
            }
        }
        catch
        {
            foreach (MappedFile file in files.Values)
            {
                file.Dispose();
            }

            throw;
        }

        return [.. segments];

        MappedFile Map(CacheShard shard)
        {
            if (files.TryGetValue(shard.Path, out MappedFile? there))
            {
                return there;
            }

            MappedFile file = files[shard.Path] = new MappedFile(shard.Path);
            return file.Length == shard.Bytes ? file : throw new DiffractException($"{shard.Path} has {file.Length} bytes, it had {shard.Bytes} a moment ago: it is being written");
        }
    }

    public void Read(int row, Span<float> target)
    {
        for (int m = 0; m < _shards.Length; m++)
        {
            CacheShard shard = _shards[m];
            shard.Type.Widen(new ReadOnlySpan<byte>(_files[m].Start + _begins[m] + ((long)row * shard.RowBytes), shard.RowBytes), target[_offsets[m].._offsets[m + 1]]);
        }
    }

    public void Dispose() => Array.ForEach(_files, f => f.Dispose());
}
