using Diffract.Activations;
using Diffract.Compute.Buffers;

namespace Diffract.Training;

/// <summary>
/// What activations look like before a training, by model. γ = ‖mean‖/‖std‖ over the width: how far they sit from the origin; where it is large, latents die early and means should be
/// taken off first. Attention sinks: positions whose length is more than ten times the model's median length; a handful of them can take up latents and spoil variances.
/// </summary>
/// <param name="Gamma_M">γ.</param>
/// <param name="SinkShare_M">Share of the positions that are attention sinks.</param>
public sealed record ActivationShape(double[] Gamma_M, double[] SinkShare_M)
{
    /// <summary>Tokens that it is estimated from: the first of the training order.</summary>
    public const int Tokens = 65_536;

    /// <summary>From this γ on dying latents are to be expected.</summary>
    public const double HighGamma = 10;

    /// <summary>Lengths above so many medians are outliers, the multiple at which the field filters them out.</summary>
    public const double SinkMultiple = 10;

    /// <param name="source">Training batches.</param>
    /// <param name="acts_BE">A batch to read into.</param>
    public static ActivationShape Of(IBatchSource source, Matrix acts_BE)
    {
        int models = source.ModelOffsets.Length - 1;
        double[] sum_E = new double[acts_BE.Columns];
        double[] square_E = new double[acts_BE.Columns];
        int there = (int)Math.Min(Tokens, source.DistinctTokens);
        double[][] length_MT = [.. Enumerable.Range(0, models).Select(_ => new double[there])];
        int count = 0;
        for (long index = 0; count < there; index++)
        {
            source.Fill(index, acts_BE);
            for (int b = 0; b < acts_BE.Rows && count < there; b++, count++)
            {
                ReadOnlySpan<float> row_E = acts_BE.Row(b);
                for (int m = 0; m < models; m++)
                {
                    double length = 0;
                    for (int e = source.ModelOffsets[m]; e < source.ModelOffsets[m + 1]; e++)
                    {
                        double square = (double)row_E[e] * row_E[e];
                        sum_E[e] += row_E[e];
                        square_E[e] += square;
                        length += square;
                    }

                    length_MT[m][count] = Math.Sqrt(length);
                }
            }
        }

        double[] gamma_M = new double[models];
        for (int m = 0; m < models; m++)
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

        return new ActivationShape(gamma_M, [.. length_MT.Select(SinkShare)]);
    }

    static double SinkShare(double[] lengths)
    {
        Array.Sort(lengths);
        double limit = SinkMultiple * (lengths[(lengths.Length - 1) / 2] + lengths[lengths.Length / 2]) / 2;
        return (double)lengths.Count(l => l > limit) / lengths.Length;
    }
}
