namespace Diffract.Planted;

/// <summary>
/// The dictionary that activations are drawn from: x_m = Σ_i a_i d_im + b + noise, where latent i fires with magnitude a_i. A function of the settings alone.
/// </summary>
public sealed class PlantedTruth
{
    const ulong Stream = 101;

    PlantedTruth(PlantedSettings settings, TruthLatent[] latents, float[] directions, float[] mean, FiringUnit[] units)
        => (Settings, Latents, Directions, Mean, Units) = (settings, latents, directions, mean, units);

    public PlantedSettings Settings { get; }

    /// <summary>By index; classes in the order of <see cref="TruthClass"/>.</summary>
    public IReadOnlyList<TruthLatent> Latents { get; }

    /// <summary>Both models' widths.</summary>
    public int E => 2 * Settings.Width;

    /// <summary>[N, E], base first: what a latent adds to both models' activations when it fires with magnitude 1.</summary>
    public float[] Directions { get; }

    /// <summary>[E]: zero but for the outlier dimension, the same one in both models.</summary>
    public float[] Mean { get; }

    /// <summary>What fires independently of everything else: a latent, or two.</summary>
    internal FiringUnit[] Units { get; }

    /// <summary>Row [E] of a latent.</summary>
    public ReadOnlySpan<float> Direction(int latent) => Directions.AsSpan(latent * E, E);

    /// <summary>Makes the dictionary of checked settings.</summary>
    public static PlantedTruth Of(PlantedSettings settings)
    {
        settings.Check();
        DrawStream draws = new((ulong)settings.Seed, Stream, 0);
        int width = settings.Width, e = 2 * width, outlier = (int)(draws.Uniform() * width);
        int[] counts = settings.Counts();
        TruthLatent[] latents = new TruthLatent[settings.Latents];
        float[] directions = new float[latents.Length * e];
        int next = 0;
        foreach (TruthClass kind in TruthClasses.All)
        {
            int count = counts[(int)kind];
            double[] rates = FiringRates.Draw(settings, kind == TruthClass.Decoupled ? count / 2 : count, ref draws);
            for (int i = 0; i < count; i++, next++)
            {
                Span<float> row_E = directions.AsSpan(next * e, e);
                bool second = kind == TruthClass.Decoupled && i % 2 == 1;
                (double inBase, double inChat, double cosine) = Draw(kind, i, settings, outlier, second ? directions.AsSpan((next - 1) * e, width) : [], row_E[..width], row_E[width..], ref draws);
                int partner = kind != TruthClass.Decoupled ? -1 : second ? next - 1 : next + 1;
                latents[next] = new TruthLatent(next, kind, rates[kind == TruthClass.Decoupled ? i / 2 : i], partner, -1, 0, inBase, inChat, cosine);
            }
        }

        float[] mean = new float[e];
        mean[outlier] = mean[width + outlier] = (float)settings.Outlier;
        Correlate(settings, latents, ref draws);
        return new PlantedTruth(settings, latents, directions, mean, FiringUnit.Of(latents, settings));
    }

    /// <summary>Fills a latent's two directions; a decoupled pair's second takes the first's.</summary>
    static (double InBase, double InChat, double Cosine) Draw(
        TruthClass kind, int number, PlantedSettings settings, int outlier, ReadOnlySpan<float> first, Span<float> base_D, Span<float> chat_D, ref DrawStream draws)
    {
        double inBase = kind == TruthClass.ChatOnly || !first.IsEmpty ? 0 : 1, inChat = kind == TruthClass.BaseOnly || (kind == TruthClass.Decoupled && first.IsEmpty) ? 0 : 1;
        if (kind == TruthClass.Rescaled)
        {
            double ratio = settings.RatioLow * Math.Pow(settings.RatioHigh / settings.RatioLow, draws.Uniform());
            (inBase, inChat) = number % 2 == 0 ? (ratio, 1.0) : (1.0, ratio);
        }

        double[] one = !first.IsEmpty ? Array.ConvertAll(first.ToArray(), v => (double)v) : Unit(base_D.Length, outlier, ref draws), other = one;
        double cosine = inBase > 0 && inChat > 0 ? 1 : 0;
        if (kind == TruthClass.Rotated)
        {
            cosine = settings.Cosine;
            other = Rotate(one, cosine, outlier, ref draws);
        }

        for (int d = 0; d < base_D.Length; d++)
        {
            base_D[d] = (float)(inBase * one[d]);
            chat_D[d] = (float)(inChat * other[d]);
        }

        return (inBase, inChat, cosine);
    }

    // Latents do not write into the outlier dimension: at a small width a random share of it would weigh far more than it does in a real model.
    static double[] Unit(int width, int outlier, ref DrawStream draws)
    {
        double[] vector = new double[width];
        double squares = 0;
        for (int d = 0; d < width; d++)
        {
            vector[d] = d == outlier ? 0 : draws.Normal();
            squares += vector[d] * vector[d];
        }

        return Array.ConvertAll(vector, v => v / Math.Sqrt(squares));
    }

    /// <summary>A unit vector at this cosine to <paramref name="one"/>, otherwise random.</summary>
    static double[] Rotate(double[] one, double cosine, int outlier, ref DrawStream draws)
    {
        double[] random = Unit(one.Length, outlier, ref draws);
        double along = one.Zip(random, (a, b) => a * b).Sum();
        double[] across = [.. random.Zip(one, (r, o) => r - (along * o))];
        double length = Math.Sqrt(across.Sum(v => v * v)), sine = Math.Sqrt(Math.Max(0, 1 - (cosine * cosine)));
        return [.. one.Zip(across, (o, a) => (cosine * o) + (sine * a / length))];
    }

    /// <summary>Joins neighbours in rate, so that the correlation asked for is possible, in seeded places.</summary>
    static void Correlate(PlantedSettings settings, TruthLatent[] latents, ref DrawStream draws)
    {
        TruthLatent[] byRate = [.. latents.Where(l => l.Class != TruthClass.Decoupled).OrderBy(l => l.Rate).ThenBy(l => l.Index)];
        int[] starts = [.. Enumerable.Range(0, byRate.Length / 2).Select(i => 2 * i)];
        FiringRates.Shuffle(starts, ref draws);
        int pairs = settings.Correlation == 0 ? 0 : Math.Min(starts.Length, (int)(settings.CorrelatedShare * latents.Length / 2));
        foreach (int start in starts.AsSpan(0, pairs))
        {
            (TruthLatent rare, TruthLatent often) = (byRate[start], byRate[start + 1]);

            // The rare one cannot fire more often together with the other than it fires at all.
            double most = Math.Sqrt(rare.Rate * (1 - often.Rate) / (often.Rate * (1 - rare.Rate)));
            double correlation = Math.Min(settings.Correlation, most);
            latents[rare.Index] = rare with { CorrelatedWith = often.Index, Correlation = correlation };
            latents[often.Index] = often with { CorrelatedWith = rare.Index, Correlation = correlation };
        }
    }
}
