using Diffract.Runs;

namespace Diffract.Latents;

/// <summary>Maximum and rate of every latent over loose activations (spec 6.2), in scaled units.</summary>
public sealed class ScanSummary
{
    readonly long[] _count_L;

    ScanSummary(int latents) => (_count_L, Max_L) = (new long[latents], new float[latents]);

    /// <summary>[L]; 0 where never active.</summary>
    public float[] Max_L { get; }

    /// <summary>Tokens looked at.</summary>
    public long Tokens { get; private set; }

    /// <summary>Latents that are never active.</summary>
    public int Silent => _count_L.Count(c => c == 0);

    /// <summary>Share of the tokens on which each latent is active.</summary>
    public double[] Rates_L => [.. _count_L.Select(c => (double)c / Tokens)];

    public static ScanSummary Of(LooseCodes codes, IProgressSink progress, CancellationToken stop)
    {
        ScanSummary summary = new(codes.Crosscoder.Latents) { Tokens = codes.Rows };
        LooseSequences.ForEachPair(codes, "maxima", progress, (_, latent, value) =>
        {
            summary.Max_L[latent] = Math.Max(summary.Max_L[latent], value);
            summary._count_L[latent]++;
        }, stop);
        return summary;
    }
}
