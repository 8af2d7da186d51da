using System.Numerics;

namespace Diffract.Compute.Kernels;

/// <summary>
/// Sums over latents (reconstructions, the clip norm, the sparsity of L1) are taken shard by shard, each in the order of its latents and beginning at 0, and the shards' sums are added by a fixed
/// binary tree: neighbours first, then neighbouring pairs. A dictionary whose shards lie in several processes, each with an aligned power of two of them, gives the bits of one that lies in one.
/// A shard without active latents adds 0, so it may be left out: x + 0 = x, save that -0 + 0 = 0, which cannot change any sum that is not 0 itself; hence 0 is added to the whole sum at the end.
/// </summary>
public static class VirtualShards
{
    /// <summary>Shards of every dictionary; part of a training's settings and of its checkpoints.</summary>
    public const int Count = 32;

    /// <summary>Latents of one shard of a dictionary: shard i holds the latents from i·size on; the last shards may be smaller or empty.</summary>
    public static int Size(int latents) => Math.Max(1, (latents + Count - 1) / Count);

    /// <summary>The sum of the shards' sums by the tree; what is missing up to a power of two is 0. Overwrites <paramref name="sums"/>.</summary>
    public static T Add<T>(Span<T> sums)
        where T : struct, INumber<T>
    {
        for (int step = 1; step < sums.Length; step *= 2)
        {
            for (int i = 0; i + step < sums.Length; i += 2 * step)
            {
                sums[i] += sums[i + step];
            }
        }

        return sums.Length == 0 ? T.Zero : sums[0];
    }

    /// <summary>The sum of one number for each latent: by shard in the order of its latents, the shards by the tree.</summary>
    public static double Sum(ReadOnlySpan<double> byLatent, int shardSize)
    {
        Span<double> sums = stackalloc double[(byLatent.Length + shardSize - 1) / shardSize];
        sums.Clear();
        for (int j = 0; j < byLatent.Length; j++)
        {
            sums[j / shardSize] += byLatent[j];
        }

        return Add(sums);
    }
}
