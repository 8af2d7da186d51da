namespace Diffract.Planted;

/// <summary>
/// Log-normal firing rates between two bounds. The rates of a class are one draw from each of as many equal slices of the distribution: every class has rare and frequent latents, whatever the seed.
/// </summary>
static class FiringRates
{
    /// <summary><paramref name="count"/> rates in a shuffled order.</summary>
    public static double[] Draw(PlantedSettings settings, int count, ref DrawStream draws)
    {
        double low = Cumulative(settings.RateLow, settings), high = Cumulative(settings.RateHigh, settings);
        double[] rates = new double[count];
        for (int i = 0; i < count; i++)
        {
            double share = low + ((high - low) * (i + draws.Uniform()) / count);
            double logarithm = Math.Log(settings.RateMedian) + (settings.RateSigma * NormalQuantile(share));
            rates[i] = Math.Clamp(Math.Exp(logarithm), settings.RateLow, settings.RateHigh);
        }

        Shuffle(rates, ref draws);
        return rates;
    }

    /// <summary>Fisher and Yates.</summary>
    public static void Shuffle<T>(Span<T> values, ref DrawStream draws)
    {
        for (int i = values.Length - 1; i > 0; i--)
        {
            int other = (int)(draws.Uniform() * (i + 1));
            (values[i], values[other]) = (values[other], values[i]);
        }
    }

    static double Cumulative(double rate, PlantedSettings settings) => NormalCumulative(Math.Log(rate / settings.RateMedian) / settings.RateSigma);

    /// <summary>Φ(x), by Abramowitz and Stegun 26.2.17: off by less than 1e-7.</summary>
    static double NormalCumulative(double x)
    {
        double t = 1 / (1 + (0.2316419 * Math.Abs(x)));
        double tail = Math.Exp(-x * x / 2) / Math.Sqrt(2 * Math.PI)
            * t * (0.319381530 + (t * (-0.356563782 + (t * (1.781477937 + (t * (-1.821255978 + (t * 1.330274429))))))));
        return x < 0 ? tail : 1 - tail;
    }

    /// <summary>The x with Φ(x) = <paramref name="share"/>, by bisection.</summary>
    static double NormalQuantile(double share)
    {
        double low = -10, high = 10;
        for (int i = 0; i < 60; i++)
        {
            double middle = (low + high) / 2;
            (low, high) = NormalCumulative(middle) < share ? (middle, high) : (low, middle);
        }

        return (low + high) / 2;
    }
}
