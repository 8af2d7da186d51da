using System.Globalization;
using Diffract.Compute.Kernels;
using Diffract.Crosscoders;
using Diffract.Runs;

namespace Diffract.Training;

/// <summary>The memory of a training: three copies of the weights (with both moments of Adam), some batches, and what the threads work in.</summary>
public static class TrainingMemory
{
    /// <summary>Float32 numbers that each thread works in, whatever the sizes.</summary>
    const long PerThread = 120_000;

    /// <summary>Latents of a block of the encode; each has a bin for the tokens found.</summary>
    const int BlockLatents = 48;

    /// <summary>A product packs its second operand up to so many numbers at a time.</summary>
    const long LargestPacked = 16 << 20;

    /// <summary>Numbers by latent beside the weights: norms, scales, places of pairs, sums of squares.</summary>
    const int PerLatent = 24;

    /// <summary>Bytes that all buffers of a training take while no latent is dead.</summary>
    public static long Bytes(TrainingConfig config)
    {
        CrosscoderConfig c = config.Crosscoder;
        long threads = Environment.ProcessorCount;
        long weights = 2L * c.Latents * c.E + c.Latents + c.E;
        long batch = (config.Batch + 64L) * c.E;

        // Activations, reconstruction, gradient, packed activations, the same in 16-bit integers; an SAE's activations without its bias.
        long work = batch * 9 / 2 + (c.Sae ? batch : 0);

        // The gradients that the clip norm keeps for the update; hot ones without it, too.
        work += 2L * c.E * ((config.Clip is null ? 0 : config.Batch) + 8 * threads + 1);
        work += threads * (PerThread + 3L * BlockLatents * (config.Batch + 16) + 4L * config.Batch + 2L * c.E) + c.Latents * (PerLatent + 2L * c.Models);

        // Dense: two matrices of codes, and the packed decoder; sparse: the pairs.
        work += c.Kind == CrosscoderKind.L1
            ? 2L * config.Batch * (c.Latents + 16) + Math.Min((long)c.Latents * c.E, LargestPacked) + 5L * config.Batch * (long)(c.Latents * Math.Clamp(config.DenseAbove, 0, 1))
            : 8L * config.Batch * Math.Max(c.K, config.KInitial ?? 0) * (c.CodeNorm.Kind == CodeNormKind.Decoupled ? 1 + c.Models : 1);
        return sizeof(float) * (3 * weights + work);
    }

    /// <summary>Bytes more while some latents are dead: their rows and codes by themselves, and the auxiliary reconstruction.</summary>
    public static long DeadBytes(TrainingConfig config, int dead)
    {
        CrosscoderConfig c = config.Crosscoder;
        long rows = dead + 48L;

        // Scratch memory grows by half at a time.
        return c.Kind == CrosscoderKind.L1 || dead == 0 ? 0
            : sizeof(float) * (3L * config.Batch * c.E + 3 * rows * (2L * c.E + config.Batch) / 2 + 16L * config.Batch * Math.Min(config.AuxPerToken, dead) + 8L * c.Latents);
    }

    /// <exception cref="DiffractException">The trainings take more together than <paramref name="memory"/>.</exception>
    public static void Require(ReadOnlySpan<TrainingConfig> configs, MemoryBudget memory)
    {
        long bytes = 0;
        foreach (TrainingConfig config in configs)
        {
            bytes += Bytes(config);
        }

        if (bytes <= memory.Bytes)
        {
            return;
        }

        CrosscoderConfig c = configs[0].Crosscoder;
        string most = $"{c.Latents:N0} latents on a width of {c.E:N0} in batches of {configs[0].Batch:N0}";
        long weights = 12L * (2L * c.Latents * c.E + c.Latents + c.E);
        throw new DiffractException(configs.Length == 1
            ? string.Create(CultureInfo.InvariantCulture, $"training {most} takes {MemoryBudget.Size(bytes)}, of which weights and moments are {MemoryBudget.Size(weights)}; {memory}; lower --latents or --batch{Advice(configs[0], memory.Bytes)}")
            : string.Create(CultureInfo.InvariantCulture, $"training {configs.Length} crosscoders in one pass, the first of {most}, takes {MemoryBudget.Size(bytes)}; {memory}; train fewer at once, or lower --latents or --batch"));
    }

    /// <summary>A number of latents that would fit, where there is one.</summary>
    static string Advice(TrainingConfig config, long available)
    {
        CrosscoderConfig c = config.Crosscoder;
        for (int latents = c.Latents / 2; latents >= Math.Max(16, c.K); latents /= 2)
        {
            TrainingConfig smaller = config with { Crosscoder = new CrosscoderConfig(c.Kind, latents, c.Widths) { K = c.K, CodeNorm = c.CodeNorm } };
            if (Bytes(smaller) <= available)
            {
                return $" (--latents {latents} would take {MemoryBudget.Size(Bytes(smaller))})";
            }
        }

        return "";
    }
}
