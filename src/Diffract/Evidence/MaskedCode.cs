using Diffract.Compute.Kernels;

namespace Diffract.Evidence;

/// <summary>The part of a sparse code that belongs to a set of latents.</summary>
static class MaskedCode
{
    /// <summary>Copies the pairs whose latent <paramref name="keep_L"/> keeps, in both orders.</summary>
    public static void Keep(SparseCode source, ReadOnlySpan<bool> keep_L, SparseCode target)
    {
        target.Reserve(source.Pairs);
        target.Tokens = source.Tokens;
        target.SmallestScaled = source.SmallestScaled;
        ReadOnlySpan<int> start = source.LatentStart.Span<int>(), token = source.PairToken.Span<int>();
        ReadOnlySpan<float> value = source.PairValue.Span<float>();
        Span<int> newStart = target.LatentStart.Span<int>(), newToken = target.PairToken.Span<int>();
        Span<float> newValue = target.PairValue.Span<float>();
        int pairs = 0;
        for (int j = 0; j < source.Latents; j++)
        {
            newStart[j] = pairs;
            int length = start[j + 1] - start[j];
            if (keep_L[j] && length > 0)
            {
                token.Slice(start[j], length).CopyTo(newToken[pairs..]);
                value.Slice(start[j], length).CopyTo(newValue[pairs..]);
                pairs += length;
            }
        }

        newStart[source.Latents] = pairs;
        target.Pairs = pairs;
        ByToken(target);
    }

    static void ByToken(SparseCode code)
    {
        ReadOnlySpan<int> latentStart = code.LatentStart.Span<int>(), pairToken = code.PairToken.Span<int>();
        Span<int> start = code.TokenStart.Span<int>(), latent = code.TokenLatent.Span<int>(), pair = code.TokenPairs.Span<int>();
        start[..(code.Tokens + 1)].Clear();
        for (int p = 0; p < code.Pairs; p++)
        {
            start[pairToken[p] + 1]++;
        }

        for (int t = 0; t < code.Tokens; t++)
        {
            start[t + 1] += start[t];
        }

        // Filling from the front moves each start to its end, that is to the next token's start; the shift back follows.
        for (int j = 0; j < code.Latents; j++)
        {
            for (int p = latentStart[j]; p < latentStart[j + 1]; p++)
            {
                int at = start[pairToken[p]]++;
                (latent[at], pair[at]) = (j, p);
            }
        }

        for (int t = code.Tokens; t > 0; t--)
        {
            start[t] = start[t - 1];
        }

        start[0] = 0;
    }
}
