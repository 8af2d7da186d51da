using System.Globalization;
using Diffract.Runs;

namespace Diffract.Activations;

/// <summary>What a harvest takes, in bytes: of disk in all, of disk for the shards that are not there yet, of memory.</summary>
public sealed record HarvestNeeds(long Bytes, long MissingBytes, long Memory)
{
    /// <summary>Refuses a disk or a memory that is too small, before anything is computed.</summary>
    public void Check(string root, long freeBytes, long memoryBytes)
    {
        if (MissingBytes > freeBytes)
        {
            throw new DiffractException($"the disk is too small: activations need {Size(MissingBytes)} more, {root} has {Size(freeBytes)} free; free some space, cap --tokens at tokenize, or store bf16");
        }

        if (Memory > memoryBytes)
        {
            throw new DiffractException($"the memory is too small: the harvest needs about {Size(Memory)}, there are {Size(memoryBytes)}; choose an earlier --layer or a smaller model");
        }
    }

    /// <summary>Bytes as MiB, or GiB from ten on.</summary>
    public static string Size(long bytes) => bytes < 10L << 30
        ? string.Create(CultureInfo.InvariantCulture, $"{Math.Ceiling(bytes / 1048576.0):N0} MiB")
        : string.Create(CultureInfo.InvariantCulture, $"{bytes / 1073741824.0:N1} GiB");
}
