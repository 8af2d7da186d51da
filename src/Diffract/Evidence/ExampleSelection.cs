using Diffract.Tokens;

namespace Diffract.Evidence;

/// <summary>Which documents stand as examples of a latent (after spec 6.3).</summary>
public static class ExampleSelection
{
    /// <summary>The strongest documents, strongest first; equal ones by number.</summary>
    public static DocumentMaximum[] Top(IReadOnlyList<DocumentMaximum> maxima, int count)
        => [.. maxima.OrderByDescending(m => m.Max).ThenBy(m => m.Document).Take(count)];

    /// <summary>The number of edges, times the latent's maximum, that lie strictly below <paramref name="max"/>: the bin of <see cref="LatentExamples.QuantileEdges"/>.</summary>
    public static int Bin(float max, float latentMax)
    {
        int bin = 0;
        while (bin < LatentExamples.QuantileEdges.Count - 1 && LatentExamples.QuantileEdges[bin] * latentMax < max)
        {
            bin++;
        }

        return bin;
    }

    /// <summary>For each bin a uniform sample of at most <paramref name="count"/> documents, strongest first. The sample depends on seed, latent and document numbers only.</summary>
    public static DocumentMaximum[][] Quantiles(IReadOnlyList<DocumentMaximum> maxima, int latent, int count, ulong seed)
    {
        float latentMax = maxima.Count == 0 ? 0 : maxima.Max(m => m.Max);
        ILookup<int, DocumentMaximum> bins = maxima.ToLookup(m => Bin(m.Max, latentMax));
        return [.. Enumerable.Range(0, LatentExamples.QuantileEdges.Count).Select(bin => Top(
            [.. bins[bin].OrderBy(m => SeededHash.Of(SeededHash.Of(seed, (ulong)latent), (ulong)m.Document)).ThenBy(m => m.Document).Take(count)], count))];
    }

    /// <summary>First token of a window of <paramref name="window"/> tokens that has the peak in its middle, moved inside the document.</summary>
    public static int WindowStart(int peak, int length, int window) => Math.Clamp(peak - (window / 2), 0, Math.Max(0, length - window));
}
