using Diffract.Activations;
using Diffract.Compute.Buffers;
using Diffract.Crosscoders;
using Diffract.Runs;

namespace Diffract.Training;

/// <summary>The published normalisation of activations, estimated from everything that a training sees: mean and unbiased standard deviation of each column over one pass.</summary>
static class NormEstimate
{
    /// <param name="source">Training batches; the remainder of a pass that fills no batch is left out.</param>
    /// <param name="acts_BE">A batch to read into.</param>
    /// <param name="targetRms">ρ.</param>
    /// <param name="stop">Set by Ctrl-C.</param>
    public static ActivationNorm Of(IBatchSource source, Matrix acts_BE, double targetRms, CancellationToken stop)
    {
        RunningMoments moments = new(acts_BE.Columns);
        long batches = Math.Max(1, source.DistinctTokens / acts_BE.Rows);
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
