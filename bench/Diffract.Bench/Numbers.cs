using System.Diagnostics;
using Diffract.Compute.Buffers;

namespace Diffract.Bench;

/// <summary>Random inputs and the clock.</summary>
static class Numbers
{
    public static Matrix Fill(int rows, int columns, int seed, double scale = 1)
    {
        Random random = new(seed);
        Matrix matrix = Matrix.Host(rows, columns);
        for (int r = 0; r < rows; r++)
        {
            foreach (ref float x in matrix.Row(r))
            {
                x = (float)(scale * (random.NextDouble() * 2 - 1));
            }
        }

        return matrix;
    }

    /// <summary>Seconds of the fastest run: at least <paramref name="runs"/> runs and a quarter of a second.</summary>
    public static double Best(Action action, int runs = 5)
    {
        action();
        double best = double.MaxValue;
        long begin = Stopwatch.GetTimestamp();
        for (int run = 0; run < runs || Stopwatch.GetElapsedTime(begin).TotalSeconds < 0.25; run++)
        {
            long start = Stopwatch.GetTimestamp();
            action();
            best = Math.Min(best, Stopwatch.GetElapsedTime(start).TotalSeconds);
        }

        return best;
    }

    public static double Median(ReadOnlySpan<double> values)
    {
        double[] sorted = values.ToArray();
        Array.Sort(sorted);
        return (sorted[(sorted.Length - 1) / 2] + sorted[sorted.Length / 2]) / 2;
    }
}
