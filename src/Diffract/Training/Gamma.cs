using Diffract.Activations;
using Diffract.Compute.Buffers;

namespace Diffract.Training;

/// <summary>γ = ‖mean‖/‖std‖ over the width, by model: how far activations sit from the origin. Where it is large, latents die early and means should be taken off first.</summary>
public static class Gamma
{
    /// <summary>Tokens that it is estimated from: the first of the training order.</summary>
    public const int Tokens = 65_536;

    /// <summary>From this value on dying latents are to be expected.</summary>
    public const double High = 10;

    /// <param name="source">Training batches.</param>
    /// <param name="acts_BE">A batch to read into.</param>
    /// <returns>γ for each model.</returns>
    public static double[] Of(IBatchSource source, Matrix acts_BE)
    {
        double[] sum_E = new double[acts_BE.Columns];
        double[] square_E = new double[acts_BE.Columns];
        long count = 0;
        long there = Math.Min(Tokens, source.DistinctTokens);
        for (long index = 0; count < there; index++)
        {
            source.Fill(index, acts_BE);
            for (int b = 0; b < acts_BE.Rows && count < there; b++, count++)
            {
                ReadOnlySpan<float> row_E = acts_BE.Row(b);
                for (int e = 0; e < row_E.Length; e++)
                {
                    sum_E[e] += row_E[e];
                    square_E[e] += (double)row_E[e] * row_E[e];
                }
            }
        }

        double[] gamma_M = new double[source.ModelOffsets.Length - 1];
        for (int m = 0; m < gamma_M.Length; m++)
        {
            double means = 0;
            double variances = 0;
            for (int e = source.ModelOffsets[m]; e < source.ModelOffsets[m + 1]; e++)
            {
                double mean = sum_E[e] / count;
                means += mean * mean;
                variances += Math.Max(0, square_E[e] / count - mean * mean);
            }

            gamma_M[m] = Math.Sqrt(means / variances);
        }

        return gamma_M;
    }
}
