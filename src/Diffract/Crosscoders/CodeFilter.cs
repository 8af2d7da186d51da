using Diffract.Compute.Kernels;

namespace Diffract.Crosscoders;

/// <summary>Thins out a sparse code on the host: what an inference rule, an activity threshold or the choice of one model's code leaves of it.</summary>
public static class CodeFilter
{
    /// <summary>Keeps the marked pairs, in both orders. <see cref="SparseCode.SmallestScaled"/> stays that of the whole code.</summary>
    /// <param name="code">Changed.</param>
    /// <param name="kept">A mark for each pair, latent-major.</param>
    public static void Keep(SparseCode code, ReadOnlySpan<bool> kept)
    {
        Span<int> places = new int[code.Pairs];
        Span<int> latentStart = code.LatentStart.Span<int>(), token = code.PairToken.Span<int>();
        Span<float> value = code.PairValue.Span<float>();
        Span<int> models = code.ModelOffsets is null ? [] : code.PairModels!.Span<int>();
        int pairs = 0;
        for (int j = 0; j < code.Latents; j++)
        {
            (int first, int end) = (latentStart[j], latentStart[j + 1]);
            // The next latent's first pair is still read from its old place.
            latentStart[j] = pairs;
            for (int p = first; p < end; p++)
            {
                if (kept[p])
                {
                    (token[pairs], value[pairs], places[p]) = (token[p], value[p], pairs);
                    if (!models.IsEmpty)
                    {
                        models[pairs] = models[p];
                    }

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
        code.Pairs = pairs;
    }

    /// <summary>The code of one model out of a decoupled one: the pairs that are active in it, as an ordinary code.</summary>
    public static void KeepModel(SparseCode code, int model)
    {
        ReadOnlySpan<int> models = code.PairModels!.Span<int>();
        bool[] kept = new bool[code.Pairs];
        for (int p = 0; p < kept.Length; p++)
        {
            kept[p] = (models[p] >> model & 1) != 0;
        }

        Keep(code, kept);
        code.Decouple(null);
    }

    /// <summary>Takes away values below a floor of their latent: f is kept where f ≥ floor.</summary>
    /// <param name="code">Changed.</param>
    /// <param name="floor_L">[L], in units of the code.</param>
    public static void KeepFrom(SparseCode code, ReadOnlySpan<float> floor_L)
    {
        ReadOnlySpan<int> start = code.LatentStart.Span<int>();
        ReadOnlySpan<float> value = code.PairValue.Span<float>();
        bool[] kept = new bool[code.Pairs];
        for (int j = 0; j < code.Latents; j++)
        {
            for (int p = start[j]; p < start[j + 1]; p++)
            {
                kept[p] = !(value[p] < floor_L[j]);
            }
        }

        Keep(code, kept);
    }
}
