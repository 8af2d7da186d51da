using Diffract.Compute.Buffers;

namespace Diffract.Training;

/// <summary>
/// The point of least summed distance to the rows of a batch, by model (Weiszfeld): from the mean, weights 1/‖x_b - g‖ normalised to sum 1, at most 100 rounds,
/// until every model's point moved less than 1e-5. It becomes the decoder bias before the first step of BatchTopK (spec 3.5).
/// </summary>
public static class GeometricMedian
{
    const int MostRounds = 100;
    const double Still = 1e-5;

    /// <summary>A row nearer than this pulls as if it lay this far off: a row that is the median itself must not divide by zero.</summary>
    const double Nearest = 1e-12;

    /// <param name="acts_BE">[B, E].</param>
    /// <param name="modelOffsets">[M + 1].</param>
    /// <param name="median_E">Written: [1, E].</param>
    public static void Write(Matrix acts_BE, int[] modelOffsets, Matrix median_E)
    {
        double[] guess_E = new double[acts_BE.Columns];
        double[] next_E = new double[acts_BE.Columns];
        for (int b = 0; b < acts_BE.Rows; b++)
        {
            ReadOnlySpan<float> row_E = acts_BE.Row(b);
            for (int e = 0; e < row_E.Length; e++)
            {
                guess_E[e] += (double)row_E[e] / acts_BE.Rows;
            }
        }

        for (int round = 0; round < MostRounds; round++)
        {
            double furthest = 0;
            for (int m = 0; m + 1 < modelOffsets.Length; m++)
            {
                furthest = Math.Max(furthest, Move(acts_BE, modelOffsets[m], modelOffsets[m + 1], guess_E, next_E));
            }

            next_E.CopyTo(guess_E, 0);
            if (furthest < Still)
            {
                break;
            }
        }

        Span<float> median = median_E.Row(0);
        for (int e = 0; e < median.Length; e++)
        {
            median[e] = (float)guess_E[e];
        }
    }

    /// <summary>One round for one model's columns; how far the point moved.</summary>
    static double Move(Matrix acts_BE, int first, int end, double[] guess_E, double[] next_E)
    {
        Array.Clear(next_E, first, end - first);
        double weights = 0;
        for (int b = 0; b < acts_BE.Rows; b++)
        {
            ReadOnlySpan<float> row_E = acts_BE.Row(b);
            double square = 0;
            for (int e = first; e < end; e++)
            {
                square += (row_E[e] - guess_E[e]) * (row_E[e] - guess_E[e]);
            }

            double weight = 1 / Math.Max(Math.Sqrt(square), Nearest);
            weights += weight;
            for (int e = first; e < end; e++)
            {
                next_E[e] += weight * row_E[e];
            }
        }

        double moved = 0;
        for (int e = first; e < end; e++)
        {
            next_E[e] /= weights;
            moved += (next_E[e] - guess_E[e]) * (next_E[e] - guess_E[e]);
        }

        return Math.Sqrt(moved);
    }
}
