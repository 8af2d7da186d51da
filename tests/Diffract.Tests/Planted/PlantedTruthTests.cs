using Diffract.Planted;
using Diffract.Runs;

namespace Diffract.Tests.Planted;

/// <summary>The generator: its dictionary and its draws have the statistics that were asked for.</summary>
public sealed class PlantedTruthTests
{
    static readonly PlantedSettings Small = new() { Latents = 60, Width = 24, Tokens = 60_000, Shares = [30, 15, 15, 10, 10, 20], RateLow = 0.005, RateMedian = 0.03, Overlap = 0.6 };

    [Fact]
    public void Classes_have_their_geometry()
    {
        PlantedTruth truth = PlantedTruth.Of(Small);
        Assert.Equal([18, 9, 9, 6, 6, 12], TruthClasses.All.Select(c => truth.Latents.Count(l => l.Class == c)));
        int outlier = Array.FindIndex(truth.Mean, m => m != 0);
        Assert.Equal(2, truth.Mean[outlier]);
        Assert.Equal(2, truth.Mean[outlier + 24]);
        foreach (TruthLatent l in truth.Latents)
        {
            (double inBase, double inChat, double cosine) = Geometry(truth, l.Index);
            Assert.Equal(l.BaseNorm, inBase, 1e-5);
            Assert.Equal(l.ChatNorm, inChat, 1e-5);
            Assert.Equal(l.Cosine, cosine, 1e-5);
            Assert.Equal(0, truth.Direction(l.Index)[outlier]);
            switch (l.Class)
            {
                case TruthClass.Shared:
                    Assert.Equal((1.0, 1.0, 1.0), (l.BaseNorm, l.ChatNorm, l.Cosine));
                    break;
                case TruthClass.Rotated:
                    Assert.Equal((1.0, 1.0, 0.6), (l.BaseNorm, l.ChatNorm, l.Cosine));
                    break;
                case TruthClass.Rescaled:
                    Assert.InRange(Math.Min(l.BaseNorm, l.ChatNorm), 0.25, 0.75);
                    Assert.Equal(1, Math.Max(l.BaseNorm, l.ChatNorm));
                    break;
                case TruthClass.Decoupled:
                    TruthLatent partner = truth.Latents[l.Partner];
                    Assert.Equal((l.Index, l.Rate), (partner.Partner, partner.Rate));
                    ReadOnlySpan<float> one = truth.Direction(l.Index), other = truth.Direction(l.Partner);
                    Assert.True((l.BaseNorm == 1 ? one[..24] : one[24..]).SequenceEqual(l.BaseNorm == 1 ? other[24..] : other[..24]), "a pair writes one direction");
                    break;
                default:
                    Assert.Equal(l.Class == TruthClass.ChatOnly ? (0.0, 1.0) : (1.0, 0.0), (l.BaseNorm, l.ChatNorm));
                    break;
            }
        }
    }

    [Fact]
    public void Latents_fire_at_their_rates_and_in_their_pairs()
    {
        PlantedTruth truth = PlantedTruth.Of(Small);
        TrueCodes codes = new(truth, Small.Tokens);
        int n = truth.Latents.Count;
        double[] counts = new double[n];
        double[,] together = new double[n, n];
        double magnitudes = 0, fired = 0;
        for (long token = 0; token < Small.Tokens; token++)
        {
            ReadOnlySpan<int> latents = codes.Latents(token);
            ReadOnlySpan<float> values = codes.Values(token);
            for (int i = 0; i < latents.Length; i++)
            {
                counts[latents[i]]++;
                magnitudes += values[i];
                fired++;
                for (int j = i + 1; j < latents.Length; j++)
                {
                    together[latents[i], latents[j]]++;
                    bool oneConcept = truth.Latents[latents[i]].Partner == latents[j];
                    Assert.True(!oneConcept || values[i] == values[j], "a decoupled pair fires with one magnitude");
                }
            }
        }

        Assert.Equal(1, magnitudes / fired, 0.01);
        Assert.All(truth.Latents, l => Assert.InRange(l.Rate, 0.005, 0.2));
        Assert.All(truth.Latents, l => Assert.InRange(Math.Abs((counts[l.Index] / Small.Tokens) - l.Rate) / Math.Sqrt(l.Rate * (1 - l.Rate) / Small.Tokens), 0, 5));
        TruthLatent[] decoupled = [.. truth.Latents.Where(l => l.Partner > l.Index)], correlated = [.. truth.Latents.Where(l => l.CorrelatedWith > l.Index)];
        Assert.Equal((6, 6), (decoupled.Length, correlated.Length));
        foreach (TruthLatent l in decoupled)
        {
            double both = together[l.Index, l.Partner];
            Assert.Equal(0.6, both / (counts[l.Index] + counts[l.Partner] - both), 0.05);
        }

        foreach (TruthLatent l in correlated)
        {
            double p = counts[l.Index] / Small.Tokens, q = counts[l.CorrelatedWith] / Small.Tokens, both = together[l.Index, l.CorrelatedWith] / Small.Tokens;
            Assert.Equal(l.Correlation, (both - (p * q)) / Math.Sqrt(p * (1 - p) * q * (1 - q)), 0.05);
            Assert.Equal(0.3, l.Correlation, 0.02);
        }
    }

    [Fact]
    public void Rates_are_log_normal_in_every_class()
    {
        PlantedTruth truth = PlantedTruth.Of(new PlantedSettings { Latents = 1000, RateMedian = 0.01, RateSigma = 1, RateLow = 1e-5, RateHigh = 0.5 });
        foreach (IGrouping<TruthClass, TruthLatent> of in truth.Latents.Where(l => l.Partner < l.Index).GroupBy(l => l.Class))
        {
            double[] logarithms = [.. of.Select(l => Math.Log(l.Rate))];
            double mean = logarithms.Average();
            Assert.Equal(Math.Log(0.01), mean, 0.05);
            Assert.Equal(1, Math.Sqrt(logarithms.Average(v => (v - mean) * (v - mean))), 0.06);
        }
    }

    [Fact]
    public void Activations_are_the_sum_of_what_fires_and_noise()
    {
        PlantedSettings settings = Small with { Noise = 0 };
        PlantedTruth truth = PlantedTruth.Of(settings), noisy = PlantedTruth.Of(Small);
        TrueCodes codes = new(truth, 2000), noisyCodes = new(noisy, 2000);
        float[] acts_E = new float[48], noisy_E = new float[48];
        double squares = 0;
        for (long token = 0; token < 2000; token++)
        {
            codes.Activations(token, acts_E);
            noisyCodes.Activations(token, noisy_E);
            for (int e = 0; e < 48; e++)
            {
                if (truth.Mean[e] == 0)
                {
                    double sum = 0;
                    for (int i = 0; i < codes.Latents(token).Length; i++)
                    {
                        sum += codes.Values(token)[i] * truth.Direction(codes.Latents(token)[i])[e];
                    }

                    Assert.Equal(sum, acts_E[e], 1e-5);
                    squares += Math.Pow(noisy_E[e] - acts_E[e], 2);
                }
            }
        }

        // Two models, 23 of 24 columns of each, of noise of length 0.3.
        Assert.Equal(0.3 * 0.3 * 23 / 24 * 2, squares / 2000, 0.005);
    }

    [Fact]
    public void A_seed_decides_everything()
    {
        PlantedTruth one = PlantedTruth.Of(Small), again = PlantedTruth.Of(Small), other = PlantedTruth.Of(Small with { Seed = 7 });
        Assert.Equal(one.Directions, again.Directions);
        Assert.Equal(one.Latents, again.Latents);
        Assert.NotEqual(one.Directions, other.Directions);
        TrueCodes codes = new(one, 5000), sameCodes = new(again, 9000);
        float[] acts = new float[48], same = new float[48];
        foreach (long token in (long[])[0, 4095, 4096, 4999])
        {
            Assert.Equal(codes.Latents(token), sameCodes.Latents(token));
            codes.Activations(token, acts);
            sameCodes.Activations(token, same);
            Assert.Equal(acts, same);
        }
    }

    [Theory]
    [InlineData("--latents 0 does not fit; wanted at least 1")]
    [InlineData("--width 2 does not fit")]
    [InlineData("--tokens 0 does not fit")]
    [InlineData("--rate-low 0.3 and --rate-high 0.2 do not fit")]
    [InlineData("--rate-low 0.001 and --rate-high 0.7 do not fit")]
    [InlineData("--rate-median 0.3 does not fit; wanted 0.001 to 0.2")]
    [InlineData("--shares 50,50,0,0,0 do not fit; wanted 6 whole percentages")]
    [InlineData("--cosine NaN does not fit; wanted -1 to 1")]
    [InlineData("--ratio-low 0.8 and --ratio-high 0.75 do not fit")]
    [InlineData("are more than 2147483647 numbers")]
    [InlineData("GB of memory, there are")]
    public void Settings_that_do_not_fit_are_refused(string message)
    {
        PlantedSettings good = new();
        PlantedSettings bad = message switch
        {
            _ when message.StartsWith("--latents", StringComparison.Ordinal) => good with { Latents = 0 },
            _ when message.StartsWith("--width", StringComparison.Ordinal) => good with { Width = 2 },
            _ when message.StartsWith("--tokens", StringComparison.Ordinal) => good with { Tokens = 0 },
            _ when message.StartsWith("--rate-low 0.3", StringComparison.Ordinal) => good with { RateLow = 0.3 },
            _ when message.StartsWith("--rate-low 0.001", StringComparison.Ordinal) => good with { RateHigh = 0.7 },
            _ when message.StartsWith("--rate-median", StringComparison.Ordinal) => good with { RateMedian = 0.3 },
            _ when message.StartsWith("--shares", StringComparison.Ordinal) => good with { Shares = [50, 50, 0, 0, 0] },
            _ when message.StartsWith("--cosine", StringComparison.Ordinal) => good with { Cosine = double.NaN },
            _ when message.StartsWith("--ratio-low", StringComparison.Ordinal) => good with { RatioLow = 0.8 },
            _ when message.StartsWith("are more", StringComparison.Ordinal) => good with { Latents = int.MaxValue, Width = int.MaxValue },
            _ => good with { Tokens = long.MaxValue / 2 },
        };
        DiffractException e = Assert.Throws<DiffractException>(() => PlantedTruth.Of(bad));
        Assert.Contains(message, e.Message, StringComparison.Ordinal);
        Assert.Equal(DiffractException.BadArguments, e.ExitCode);
    }

    static (double InBase, double InChat, double Cosine) Geometry(PlantedTruth truth, int latent)
    {
        float[] row = truth.Direction(latent).ToArray();
        float[] inBase = row[..24], inChat = row[24..];
        double b = Math.Sqrt(inBase.Sum(v => (double)v * v)), c = Math.Sqrt(inChat.Sum(v => (double)v * v)), dot = inBase.Zip(inChat, (x, y) => (double)x * y).Sum();
        return (b, c, b > 0 && c > 0 ? dot / (b * c) : 0);
    }
}
