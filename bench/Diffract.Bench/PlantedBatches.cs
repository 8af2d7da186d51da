using Diffract.Compute.Buffers;

namespace Diffract.Bench;

/// <summary>Activations made of a few of many random directions, with log-normal rates and one direction that is always on, and some noise.</summary>
static class PlantedBatches
{
    const int Directions = 2048;

    /// <summary>Batches of <paramref name="tokens"/> rows in which <paramref name="activePerToken"/> directions are on, on average.</summary>
    public static Matrix[] Make(int count, int tokens, int width, double activePerToken = 25)
    {
        Random random = new(5);
        float[][] directions = new float[Directions][];
        double[] rates = new double[Directions];
        for (int i = 0; i < Directions; i++)
        {
            directions[i] = [.. Enumerable.Range(0, width).Select(_ => (float)(Normal(random) / Math.Sqrt(width)))];
            rates[i] = Math.Exp(1.5 * Normal(random));
        }

        double sum = rates.Sum();
        rates = [.. rates.Select(r => Math.Min(1, r * activePerToken / sum))];
        rates[0] = 1;
        Matrix[] batches = new Matrix[count];
        for (int n = 0; n < count; n++)
        {
            batches[n] = Numbers.Fill(tokens, width, n, 0.05);
            for (int b = 0; b < tokens; b++)
            {
                Span<float> row = batches[n].Row(b);
                for (int i = 0; i < Directions; i++)
                {
                    if (random.NextDouble() < rates[i])
                    {
                        float strength = (float)(1 + 3 * random.NextDouble());
                        for (int c = 0; c < width; c++)
                        {
                            row[c] += strength * directions[i][c];
                        }
                    }
                }
            }
        }

        return batches;
    }

    public static double Normal(Random random) => Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble());
}
