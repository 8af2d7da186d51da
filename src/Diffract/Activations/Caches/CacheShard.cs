namespace Diffract.Activations.Caches;

/// <summary>One <c>shard_i.memmap</c> of a cache: [rows, width], row-major, no header.</summary>
/// <param name="Path">Of the file.</param>
/// <param name="FirstRow">Rows of the shards before it.</param>
/// <param name="Rows">Its own.</param>
/// <param name="Width">Of the model.</param>
/// <param name="Type">Of its elements.</param>
sealed record CacheShard(string Path, long FirstRow, int Rows, int Width, CacheType Type)
{
    public int RowBytes => Width * Type.Size();

    public long Bytes => (long)Rows * RowBytes;
}
