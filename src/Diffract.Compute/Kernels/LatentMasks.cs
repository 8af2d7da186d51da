using Diffract.Compute.Buffers;

namespace Diffract.Compute.Kernels;

/// <summary>
/// Which models each latent reads (encoder) and writes (decoder). The weights of the other models start at 0 and get no gradient, so they stay there: nothing that encodes or decodes has to know.
/// </summary>
public sealed class LatentMasks : IDisposable
{
    /// <summary>Models that the bits of a mask have room for.</summary>
    public const int MostModels = 31;

    /// <summary>Every latent reads and writes all models.</summary>
    /// <exception cref="ShapeException">More than <see cref="MostModels"/> models.</exception>
    public LatentMasks(int latents, int models)
    {
        ShapeException.Check(models <= MostModels, nameof(LatentMasks), $"at most {MostModels} models", $"{models}");
        Reads_L = new HostBuffer(ElementType.Int32, latents);
        Writes_L = new HostBuffer(ElementType.Int32, latents);
        Reads_L.Span<int>().Fill((1 << models) - 1);
        Writes_L.Span<int>().Fill((1 << models) - 1);
    }

    /// <summary>[L] int32: bit m is set where the encoder of the latent reads model m.</summary>
    public HostBuffer Reads_L { get; }

    /// <summary>[L] int32: bit m is set where the decoder of the latent writes model m.</summary>
    public HostBuffer Writes_L { get; }

    public bool Reads(int latent, int model) => (Reads_L.Span<int>()[latent] >> model & 1) != 0;

    public bool Writes(int latent, int model) => (Writes_L.Span<int>()[latent] >> model & 1) != 0;

    public void Dispose()
    {
        Reads_L.Dispose();
        Writes_L.Dispose();
    }
}
