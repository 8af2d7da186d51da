using Diffract.Compute.Kernels;

namespace Diffract.Crosscoders;

/// <summary>
/// The inference rule of dictionaries that were trained with a plain TopK: the k largest values of each token. It thins out a code of all positive values on the host, so it is slower than a threshold.
/// </summary>
static class LargestPerToken
{
    /// <summary>Keeps the <paramref name="k"/> largest values of each token; of equal ones those of the first latents.</summary>
    public static void Keep(SparseCode code, int k)
    {
        CodeFilter.Keep(code, Mark(code, k));
        float smallest = float.PositiveInfinity;
        foreach (float value in code.PairValue.Span<float>()[..code.Pairs])
        {
            smallest = Math.Min(smallest, value);
        }

        code.SmallestScaled = code.Pairs > 0 ? smallest : 0;
    }

    static bool[] Mark(SparseCode code, int k)
    {
        bool[] kept = new bool[code.Pairs];
        ReadOnlySpan<int> start = code.TokenStart.Span<int>(), pair = code.TokenPairs.Span<int>();
        ReadOnlySpan<float> value = code.PairValue.Span<float>();

        // The smallest of the k largest so far on top; pairs are latent-major, so of equal values the later latent goes first.
        PriorityQueue<int, (float Value, int Earlier)> largest = new(k + 1);
        for (int b = 0; b < code.Tokens; b++)
        {
            largest.Clear();
            for (int i = start[b]; i < start[b + 1]; i++)
            {
                (float, int) priority = (value[pair[i]], -pair[i]);
                if (largest.Count < k)
                {
                    largest.Enqueue(pair[i], priority);
                }
                else
                {
                    largest.EnqueueDequeue(pair[i], priority);
                }
            }

            while (largest.TryDequeue(out int p, out _))
            {
                kept[p] = true;
            }
        }

        return kept;
    }
}
