using System.Text.Json.Nodes;
using Diffract.Activations;
using Diffract.Runs;

namespace Diffract.Planted;

/// <summary>What is planted. A latent's norm is 1, in one model at least: other lengths are in units of it.</summary>
public sealed record PlantedSettings
{
    /// <summary>True latents of both models together; a decoupled pair counts as two.</summary>
    public int Latents { get; init; } = 256;

    /// <summary>Width of each model.</summary>
    public int Width { get; init; } = 64;

    /// <summary>Tokens of all splits, at least; the last document is whole.</summary>
    public long Tokens { get; init; } = 400_000;

    /// <summary>Decides the dictionary, the tokens, the noise and the splits.</summary>
    public int Seed { get; init; } = 42;

    /// <summary>Percent of the latents in each class, in the order of <see cref="TruthClass"/>; they add up to 100.</summary>
    public IReadOnlyList<int> Shares { get; init; } = [36, 12, 16, 12, 12, 12];

    /// <summary>Firing rates are log-normal with this median, between <see cref="RateLow"/> and <see cref="RateHigh"/>.</summary>
    public double RateMedian { get; init; } = 0.01;

    /// <summary>Standard deviation of the logarithm of the rates, before they are bounded.</summary>
    public double RateSigma { get; init; } = 1.2;

    public double RateLow { get; init; } = 0.001;

    public double RateHigh { get; init; } = 0.2;

    /// <summary>Rotated: cosine between the two directions.</summary>
    public double Cosine { get; init; } = 0.6;

    /// <summary>Rescaled: smallest norm in the weaker model; norms are log-uniform up to <see cref="RatioHigh"/>, half the latents weaker in the base, half in the chat model.</summary>
    public double RatioLow { get; init; } = 0.25;

    public double RatioHigh { get; init; } = 0.75;

    /// <summary>Decoupled: share of the tokens on which either fires on which both do.</summary>
    public double Overlap { get; init; } = 0.7;

    /// <summary>Share of the latents that fire in correlated pairs (decoupled ones never do).</summary>
    public double CorrelatedShare { get; init; } = 0.2;

    /// <summary>Pearson correlation of such a pair's indicators; less where their rates do not allow it.</summary>
    public double Correlation { get; init; } = 0.3;

    /// <summary>Standard deviation of the logarithm of a firing's magnitude, whose mean is 1.</summary>
    public double Spread { get; init; } = 0.3;

    /// <summary>Expected length of the Gaussian noise in each model.</summary>
    public double Noise { get; init; } = 0.3;

    /// <summary>Mean of the outlier dimension in both models; its standard deviation is a fiftieth of that. 0 for none.</summary>
    public double Outlier { get; init; } = 2;

    /// <summary>How activations are stored: bf16 or f32.</summary>
    public StorageKind Storage { get; init; } = StorageKind.BFloat16;

    /// <summary>Checks all of it, before any work.</summary>
    /// <exception cref="DiffractException">A value out of its range, or sizes that cannot be held.</exception>
    public void Check()
    {
        AtLeast("--latents", Latents, 1);
        AtLeast("--width", Width, 3);
        AtLeast("--tokens", Tokens, 1);
        CheckShares();
        CheckRates();
        Within("--cosine", Cosine, -1, 1);
        Within("--overlap", Overlap, 0, 1);
        Within("--correlated", CorrelatedShare, 0, 1);
        Within("--correlation", Correlation, 0, 1);
        Within("--spread", Spread, 0, 2);
        Within("--noise", Noise, 0, 1e6);
        Within("--outlier", Outlier, 0, 1e6);
        if (!(RatioLow > 0 && RatioLow <= RatioHigh && RatioHigh <= 1))
        {
            throw DiffractException.Argument(FormattableString.Invariant($"--ratio-low {RatioLow} and --ratio-high {RatioHigh} do not fit; wanted 0 < low <= high <= 1"));
        }

        CheckSizes();
    }

    /// <summary>Latents of each class, by largest remainder; the decoupled ones are an even number.</summary>
    public int[] Counts()
    {
        int[] counts = [.. Shares.Select(s => (int)((long)Latents * s / 100))];
        counts[^1] -= counts[^1] % 2;
        int[] order = [.. Enumerable.Range(0, Shares.Count - 1).OrderByDescending(c => (long)Latents * Shares[c] % 100).ThenBy(c => c)];
        order = [.. order.Where(c => Shares[c] > 0)];
        for (int left = Latents - counts.Sum(), i = 0; left > 0; left--, i++)
        {
            // A share of 100% decoupled latents and an odd number of them leaves one, which is shared.
            counts[order.Length == 0 ? 0 : order[i % order.Length]]++;
        }

        return counts;
    }

    public JsonObject ToJson() => new()
    {
        ["latents"] = Latents,
        ["width"] = Width,
        ["tokens"] = Tokens,
        ["seed"] = Seed,
        ["shares"] = new JsonArray([.. Shares.Select(s => (JsonNode)s)]),
        ["rateMedian"] = RateMedian,
        ["rateSigma"] = RateSigma,
        ["rateLow"] = RateLow,
        ["rateHigh"] = RateHigh,
        ["cosine"] = Cosine,
        ["ratioLow"] = RatioLow,
        ["ratioHigh"] = RatioHigh,
        ["overlap"] = Overlap,
        ["correlatedShare"] = CorrelatedShare,
        ["correlation"] = Correlation,
        ["spread"] = Spread,
        ["noise"] = Noise,
        ["outlier"] = Outlier,
        ["storage"] = Storage.Name(),
    };

    void CheckShares()
    {
        if (Shares.Count != TruthClasses.All.Count || Shares.Any(s => s is < 0 or > 100) || Shares.Sum() != 100)
        {
            throw DiffractException.Argument(
                $"--shares {string.Join(',', Shares)} do not fit; wanted {TruthClasses.All.Count} whole percentages that add up to 100: {string.Join(", ", TruthClasses.All.Select(TruthClasses.Name))}");
        }
    }

    void CheckRates()
    {
        if (!(RateLow > 0 && RateLow < RateHigh && RateHigh <= 0.5))
        {
            throw DiffractException.Argument(FormattableString.Invariant($"--rate-low {RateLow} and --rate-high {RateHigh} do not fit; wanted 0 < low < high <= 0.5"));
        }

        if (!(RateMedian >= RateLow && RateMedian <= RateHigh))
        {
            throw DiffractException.Argument(FormattableString.Invariant($"--rate-median {RateMedian} does not fit; wanted {RateLow} to {RateHigh}, the bounds of the rates"));
        }

        Within("--rate-sigma", RateSigma, 0.01, 10);
    }

    void CheckSizes()
    {
        if ((long)Latents * 2 * Width > int.MaxValue)
        {
            throw DiffractException.Argument($"{Latents} latents on two models of width {Width} are more than {int.MaxValue} numbers; lower --latents or --width");
        }

        // Rows are counted by 32-bit numbers, and the true code of all tokens is held in memory: start, latent and value.
        double pairs = Tokens * Latents * RateHigh, bytes = (Tokens * 8.0) + (Math.Min(pairs, Tokens * Latents * RateMedian * 4) * 8) + (2.0 * 65_536 * Storage.RowBytes([Width, Width]));
        double there = GC.GetGCMemoryInfo().TotalAvailableMemoryBytes;
        if (Tokens > int.MaxValue / 2 || bytes > there)
        {
            throw DiffractException.Argument(FormattableString.Invariant(
                $"{Tokens} tokens of {Latents} latents take about {bytes / 1e9:F1} GB of memory, there are {there / 1e9:F1} GB (and at most {int.MaxValue / 2} tokens); lower --tokens or --latents"));
        }
    }

    static void AtLeast(string name, long value, long least)
    {
        if (value < least)
        {
            throw DiffractException.Argument($"{name} {value} does not fit; wanted at least {least}");
        }
    }

    static void Within(string name, double value, double low, double high)
    {
        if (!(value >= low && value <= high))
        {
            throw DiffractException.Argument(FormattableString.Invariant($"{name} {value} does not fit; wanted {low} to {high}"));
        }
    }
}
