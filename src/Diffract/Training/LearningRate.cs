namespace Diffract.Training;

/// <summary>The schedule: linear warm-up from 0 (again after each resampling), then constant, then linear to 0 at the end where a decay is asked for.</summary>
public static class LearningRate
{
    /// <summary>The learning rate of step <paramref name="step"/>, from 0. At step 0 of a warm-up it is 0; Adam's moments move all the same.</summary>
    public static double At(TrainingConfig config, long step)
    {
        long risen = config.ResampleEvery is { } every ? step % every : step;
        double factor = risen < config.Warmup ? (double)risen / config.Warmup
            : config.DecayStart is { } start && step >= start ? (double)(config.Steps - step) / (config.Steps - start)
            : 1;
        return config.LearningRate * factor;
    }
}
