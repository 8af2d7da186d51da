using Diffract.Llms;

namespace Diffract.Bench;

/// <summary>What a forward pass has to compute and to read.</summary>
static class ForwardCost
{
    /// <summary>Weights in the products of one block.</summary>
    public static double BlockWeights(LlmConfig c) => (double)c.Width * c.HeadWidth * (2 * c.Heads + 2 * c.KeyValueHeads) + 3.0 * c.Width * c.MlpWidth;

    /// <summary>
    /// Useful operations of the first <paramref name="blocks"/> blocks: two for each weight and token, and four for each visible key, head and width; norms, activations and masked
    /// scores count nothing.
    /// </summary>
    public static double Operations(LlmConfig c, TokenBatch batch, int blocks)
    {
        double sum = 0;
        for (int layer = 0; layer < blocks; layer++)
        {
            sum += 2 * BlockWeights(c) * batch.Tokens;
            foreach (int position in batch.Positions)
            {
                int seen = c.Windows[layer] > 0 ? Math.Min(position + 1, c.Windows[layer]) : position + 1;
                sum += 4.0 * seen * c.Heads * c.HeadWidth;
            }
        }

        return sum;
    }
}
