using Diffract.Compute.Kernels;

namespace Diffract.Tests.Scaling;

/// <summary>Sparse codes from a dense table, for tests that plant their codes.</summary>
static class SparseCodes
{
    /// <param name="code_BL">[B][L]; values above 0 are active.</param>
    public static unsafe SparseCode From(float[][] code_BL)
    {
        int tokens = code_BL.Length, latents = code_BL[0].Length;
        SparseCode code = new(tokens, latents, tokens * latents) { Tokens = tokens };
        int pairs = 0;
        for (int j = 0; j < latents; j++)
        {
            code.LatentStart.Ints[j] = pairs;
            for (int b = 0; b < tokens; b++)
            {
                if (code_BL[b][j] > 0)
                {
                    code.PairToken.Ints[pairs] = b;
                    code.PairValue.Floats[pairs++] = code_BL[b][j];
                }
            }
        }

        code.LatentStart.Ints[latents] = pairs;
        code.Pairs = pairs;
        int entries = 0;
        for (int b = 0; b < tokens; b++)
        {
            code.TokenStart.Ints[b] = entries;
            for (int j = 0; j < latents; j++)
            {
                for (int p = code.LatentStart.Ints[j]; p < code.LatentStart.Ints[j + 1]; p++)
                {
                    if (code.PairToken.Ints[p] == b)
                    {
                        code.TokenLatent.Ints[entries] = j;
                        code.TokenPairs.Ints[entries++] = p;
                    }
                }
            }
        }

        code.TokenStart.Ints[tokens] = entries;
        return code;
    }
}
