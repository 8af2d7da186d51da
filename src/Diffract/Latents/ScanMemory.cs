using Diffract.Crosscoders;
using Diffract.Runs;

namespace Diffract.Latents;

/// <summary>What a pass of a crosscoder over activations takes, for the latent table or for scaling, whichever is more.</summary>
public static class ScanMemory
{
    const int BatchRows = 1024;

    /// <summary>For sorting activations by latent (<see cref="LatentActivationsWriter"/>), the runtime and its code.</summary>
    const long Room = 512L << 20;

    /// <summary>Bytes by latent of the sums in 32 blocks of documents, 7 numbers in double each.</summary>
    const long SumBytes = 32 * 7 * sizeof(double);

    /// <param name="latents">L.</param>
    /// <param name="e">E.</param>
    public static long Bytes(long latents, long e) => CrosscoderMemory.Bytes(latents, e, BatchRows) + latents * SumBytes + sizeof(float) * BatchRows * e * 7 / 2 + Room;

    /// <exception cref="DiffractException">More than <paramref name="memory"/>.</exception>
    public static void Require(string name, long latents, long e, MemoryBudget memory)
    {
        if (Bytes(latents, e) > memory.Bytes)
        {
            throw new DiffractException(FormattableString.Invariant(
                $"the memory is too small: a pass of crosscoder {name}, {latents:N0} latents on a width of {e:N0}, takes {MemoryBudget.Size(Bytes(latents, e))}, {memory}; take a smaller crosscoder or give --memory"));
        }
    }
}
