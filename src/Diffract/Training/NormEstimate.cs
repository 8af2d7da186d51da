using Diffract.Activations;
using Diffract.Compute.Buffers;
using Diffract.Crosscoders;
using Diffract.Runs;

namespace Diffract.Training;

/// <summary>The published normalisation of activations, estimated from the first tokens of the training order: mean and unbiased standard deviation of each column.</summary>
public static class NormEstimate
{
    /// <summary>Tokens that a training in a run folder estimates from, or all where there are fewer: one window of the order, which a stream holds anyway.</summary>
    public const long Tokens = ShuffledOrder.DefaultWindow;

    /// <param name="source">Training batches.</param>
    /// <param name="tokens">Most tokens to look at, at most one pass; the remainder that fills no batch is left out.</param>
    /// <param name="acts_BE">A batch to read into.</param>
    /// <param name="targetRms">ρ.</param>
    /// <param name="stop">Set by Ctrl-C.</param>
    public static ActivationNorm Of(IBatchSource source, long tokens, Matrix acts_BE, double targetRms, CancellationToken stop)
    {
        RunningMoments moments = new(acts_BE.Columns);
        long batches = Math.Max(1, Math.Min(tokens, source.DistinctTokens) / acts_BE.Rows);
        for (long index = 0; index < batches; index++)
        {
            stop.ThrowIfCancellationRequested();
            source.Fill(index, acts_BE);
            for (int b = 0; b < acts_BE.Rows; b++)
            {
                moments.Add(acts_BE.Row(b), 0, moments.Count + 1);
                moments.Advance(1);
            }
        }

        float[] mean_E = [.. moments.Mean.Select(m => (float)m)];
        float[] std_E = [.. moments.Squares.Select(s => (float)Math.Sqrt(s / (moments.Count - 1)))];
        int broken = Array.FindIndex(mean_E, m => !float.IsFinite(m));
        return broken < 0
            ? ActivationNorm.From(mean_E, std_E, (float)targetRms, source.ModelOffsets)
            : throw new DiffractException($"column {broken} of the activations has no finite mean to normalise by; harvest them again");
    }
}
