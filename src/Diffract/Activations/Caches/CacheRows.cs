using Diffract.Runs;
using Microsoft.Win32.SafeHandles;

namespace Diffract.Activations.Caches;

/// <summary>Rows of both caches, read from the files.</summary>
sealed class CacheRows(CachePair pair) : IDisposable
{
    readonly int[] _offsets = ActivationStore.Offsets(pair.Widths);
    readonly Dictionary<string, SafeFileHandle> _files = new(StringComparer.Ordinal);
    byte[] _bytes = [];

    /// <summary>Rows <paramref name="first"/> and on, all models end to end; a value that is not finite is refused by its place.</summary>
    public void Read(long first, int count, Span<float> rows_BE)
    {
        for (int m = 0; m < pair.Models.Length; m++)
        {
            int done = 0;
            foreach (CacheShard shard in pair.Models[m].Shards)
            {
                long row = first + done;
                if (done == count || row < shard.FirstRow || row >= shard.FirstRow + shard.Rows)
                {
                    continue;
                }

                int here = (int)Math.Min(count - done, shard.FirstRow + shard.Rows - row), inShard = (int)(row - shard.FirstRow);
                ReadOnlySpan<byte> bytes = ReadBytes(shard, inShard, here);
                for (int i = 0; i < here; i++, done++)
                {
                    Span<float> target = rows_BE.Slice((done * _offsets[^1]) + _offsets[m], shard.Width);
                    shard.Type.Widen(bytes.Slice(i * shard.RowBytes, shard.RowBytes), target);
                    CacheScan.RequireFinite(shard, inShard + i, target);
                }
            }
        }
    }

    public void Dispose()
    {
        foreach (SafeFileHandle file in _files.Values)
        {
            file.Dispose();
        }
    }

    ReadOnlySpan<byte> ReadBytes(CacheShard shard, int row, int count)
    {
        int bytes = checked(count * shard.RowBytes);
        if (_bytes.Length < bytes)
        {
            _bytes = new byte[bytes];
        }

        try
        {
            if (!_files.TryGetValue(shard.Path, out SafeFileHandle? file))
            {
                _files[shard.Path] = file = File.OpenHandle(shard.Path, share: FileShare.ReadWrite);
            }

            for (int done = 0; done < bytes;)
            {
                int read = RandomAccess.Read(file, _bytes.AsSpan(done, bytes - done), ((long)row * shard.RowBytes) + done);
                done += read > 0 ? read : throw new DiffractException($"cannot read {shard.Path} to its end: it has become shorter; wait until the collector is done");
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new DiffractException($"cannot read {shard.Path}: {e.Message}", inner: e);
        }

        return _bytes.AsSpan(0, bytes);
    }
}
