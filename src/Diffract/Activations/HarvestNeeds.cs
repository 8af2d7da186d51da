using System.Globalization;
using Diffract.Llms;
using Diffract.Runs;

namespace Diffract.Activations;

/// <summary>What a harvest takes, in bytes, and how it goes about it where memory is short.</summary>
/// <param name="Bytes">Of disk in all.</param>
/// <param name="MissingBytes">Of disk for the shards that are not there yet.</param>
/// <param name="Models">Both models at once or one at a time, with the memory that takes.</param>
/// <param name="Buffers">2: a shard is written while the next is computed; 1: the next one waits.</param>
public sealed record HarvestNeeds(long Bytes, long MissingBytes, ModelsInMemory Models, int Buffers)
{
    /// <param name="folders">Checkpoints.</param>
    /// <param name="layer">0-based block.</param>
    /// <param name="shardRows">Rows of the largest shard.</param>
    /// <param name="rows">Rows in all.</param>
    /// <param name="bytesThere">Of shards that are there.</param>
    /// <param name="batch">Tokens of a batch.</param>
    /// <param name="longest">Tokens of the longest document.</param>
    /// <param name="storage">Of the shards.</param>
    /// <param name="memory">The bound.</param>
    /// <exception cref="DiffractException">Not even one model at a time fits.</exception>
    public static HarvestNeeds Of(
        IReadOnlyList<string> folders, LayerPair layer, int shardRows, long rows, long bytesThere, int batch, int longest, StorageKind storage, MemoryBudget memory)
    {
        int[] widths = [.. folders.Select(f => LlmConfig.Load(f).Width)];
        long rowBytes = storage.RowBytes(widths), shard = shardRows * rowBytes;
        LlmMemory[] models = [.. folders.Select((f, m) => LlmMemory.Of(f, layer[m] + 1, head: false, batch, longest))];

        // The residuals lie in the batch's matrix and, for rounding, in an array.
        long host = (long)batch * widths.Max() * sizeof(float), process = LlmMemory.Process + host;
        long together = process + models.Sum(m => m.Bytes), alone = process + models.Max(m => m.Bytes);
        int buffers = together + 2 * shard <= memory.Bytes || (together + shard > memory.Bytes && alone + 2 * shard <= memory.Bytes) ? 2 : 1;
        return new HarvestNeeds(
            rows * rowBytes, Math.Max(0, rows * rowBytes - bytesThere),
            ModelsInMemory.Choose("harvest", together + buffers * shard, alone + buffers * shard, memory, "choose an earlier --layer or a smaller model"), buffers);
    }

    /// <summary>Refuses a disk that is too small, before anything is computed.</summary>
    public void Check(string root, long freeBytes)
    {
        if (MissingBytes > freeBytes)
        {
            throw new DiffractException($"the disk is too small: activations need {Size(MissingBytes)} more, {root} has {Size(freeBytes)} free; free some space, cap --tokens at tokenize, or store less of it with --storage int8");
        }
    }

    /// <summary>So many seconds in words.</summary>
    public static string Time(double seconds)
        => string.Create(CultureInfo.InvariantCulture, $"{(seconds < 120 ? $"{seconds:N0} s" : seconds < 7200 ? $"{seconds / 60:N0} min" : $"{seconds / 3600:N1} hours")}");

    /// <summary>Bytes as MiB, or GiB from ten on.</summary>
    public static string Size(long bytes) => bytes < 10L << 30
        ? string.Create(CultureInfo.InvariantCulture, $"{Math.Ceiling(bytes / 1048576.0):N0} MiB")
        : string.Create(CultureInfo.InvariantCulture, $"{bytes / 1073741824.0:N1} GiB");
}
