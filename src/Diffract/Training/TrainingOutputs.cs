namespace Diffract.Training;

/// <summary>Where a training run leaves what it finds on the way.</summary>
/// <param name="Log">A line a step.</param>
/// <param name="What">What progress calls the run.</param>
public sealed record TrainingOutputs(TrainingLog Log, string What = "train")
{
    /// <summary>Where checkpoints go; null for none.</summary>
    public Checkpoints? Checkpoints { get; init; }

    /// <summary>Steps between two checkpoints; null for none but the one at a stop.</summary>
    public long? CheckpointEvery { get; init; }

    /// <summary>What measures the crosscoder on the way; null for nothing.</summary>
    public Validation? Validation { get; init; }

    /// <summary>Steps between two validations.</summary>
    public long? ValidateEvery { get; init; }
}
