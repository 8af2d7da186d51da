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
        bool[] kept = Mark(code, k);
        Span<int> places = new int[code.Pairs];
        Span<int> latentStart = code.LatentStart.Span<int>(), token = code.PairToken.Span<int>();
        Span<float> value = code.PairValue.Span<float>();
        int pairs = 0;
        float smallest = float.PositiveInfinity;
        for (int j = 0; j < code.Latents; j++)
        {
            (int first, int end) = (latentStart[j], latentStart[j + 1]);
            latentStart[j] = pairs;
            for (int p = first; p < end; p++)
            {
                if (kept[p])
                {
                    (token[pairs], value[pairs], places[p]) = (token[p], value[p], pairs);
                    smallest = Math.Min(smallest, value[p]);
                    pairs++;
                }
            }
        }

        latentStart[code.Latents] = pairs;
        Span<int> tokenStart = code.TokenStart.Span<int>(), latent = code.TokenLatent.Span<int>(), pair = code.TokenPairs.Span<int>();
        int entries = 0;
        for (int b = 0; b < code.Tokens; b++)
        {
            (int first, int end) = (tokenStart[b], tokenStart[b + 1]);
            tokenStart[b] = entries;
            for (int i = first; i < end; i++)
            {
                if (kept[pair[i]])
                {
                    (latent[entries], pair[entries]) = (latent[i], places[pair[i]]);
                    entries++;
                }
            }
        }

        tokenStart[code.Tokens] = entries;
        (code.Pairs, code.SmallestScaled) = (pairs, pairs > 0 ? smallest : 0);
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
