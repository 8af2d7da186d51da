using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Crosscoders;

namespace Diffract.Training;

/// <summary>What a training run carries from step to step beside the weights: all of it is in a checkpoint.</summary>
public sealed class TrainingState : IDisposable
{
    public TrainingState(TrainingConfig config, Crosscoder crosscoder)
    {
        IBackend backend = crosscoder.Backend;
        (int latents, int width) = (crosscoder.Latents, crosscoder.E);
        EncM_LE = backend.Matrix(latents, width);
        EncV_LE = backend.Matrix(latents, width);
        DecM_LE = backend.Matrix(latents, width);
        DecV_LE = backend.Matrix(latents, width);
        BiasM_L = backend.Matrix(1, latents);
        BiasV_L = backend.Matrix(1, latents);
        DecBiasM_E = backend.Matrix(1, width);
        DecBiasV_E = backend.Matrix(1, width);
        if (crosscoder.Threshold_L is not null)
        {
            ThresholdM_L = backend.Matrix(1, latents);
            ThresholdV_L = backend.Matrix(1, latents);
        }

        Firing = new FiringTracker(latents, config.DeadAfter);
        SilentSteps = config.ResampleEvery is null ? null : new long[latents];
    }

    /// <summary>Steps done: the number of the next one.</summary>
    public long Step { get; set; }

    /// <summary>Share of active pairs in the step before; 1 before the first.</summary>
    public double Density { get; set; } = 1;

    public FiringTracker Firing { get; }

    /// <summary>[L], where latents are resampled: steps since a scaled activation of each was above 1e-4.</summary>
    public long[]? SilentSteps { get; }

    public Matrix EncM_LE { get; }

    public Matrix EncV_LE { get; }

    public Matrix DecM_LE { get; }

    public Matrix DecV_LE { get; }

    public Matrix BiasM_L { get; }

    public Matrix BiasV_L { get; }

    public Matrix DecBiasM_E { get; }

    public Matrix DecBiasV_E { get; }

    /// <summary>JumpReLU: first moments of the thresholds [1, L]; null for other kinds.</summary>
    public Matrix? ThresholdM_L { get; }

    /// <summary>JumpReLU: second moments of the thresholds.</summary>
    public Matrix? ThresholdV_L { get; }

    /// <summary>JumpReLU: the scaled activation of one of k equal latents in the first batch, the unit of bandwidth, bend and threshold rate; 0 before the first step.</summary>
    public float Unit { get; set; }

    public void Dispose()
    {
        ThresholdM_L?.Buffer.Dispose();
        ThresholdV_L?.Buffer.Dispose();
        foreach (Matrix matrix in (ReadOnlySpan<Matrix>)[EncM_LE, EncV_LE, DecM_LE, DecV_LE, BiasM_L, BiasV_L, DecBiasM_E, DecBiasV_E])
        {
            matrix.Buffer.Dispose();
        }
    }
}
