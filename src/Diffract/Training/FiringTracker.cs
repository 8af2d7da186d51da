using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;

namespace Diffract.Training;

/// <summary>Tokens since each latent last fired in a training batch. Evaluation never touches it.</summary>
public sealed class FiringTracker(int latents, long deadAfter)
{
    readonly int[] _dead = new int[latents];
    int _deadCount;

    /// <summary>[L].</summary>
    public long[] TokensSinceFired { get; } = new long[latents];

    /// <summary>Latents that have not fired for the horizon, ascending; as of the last batch observed.</summary>
    public ReadOnlySpan<int> Dead => _dead.AsSpan(0, _deadCount);

    /// <summary>Counts a batch: its tokens for everyone, then 0 for those that fired.</summary>
    public void Observe(SparseCode code)
    {
        Span<int> start = code.LatentStart.Span<int>();
        for (int j = 0; j < TokensSinceFired.Length; j++)
        {
            TokensSinceFired[j] = start[j + 1] > start[j] ? 0 : TokensSinceFired[j] + code.Tokens;
        }

        ListDead();
    }

    /// <summary>The same from sums of a dense code over the batch, [1, L].</summary>
    public void Observe(int tokens, Matrix sum_L)
    {
        Span<float> sum = sum_L.Row(0);
        for (int j = 0; j < TokensSinceFired.Length; j++)
        {
            TokensSinceFired[j] = sum[j] > 0 ? 0 : TokensSinceFired[j] + tokens;
        }

        ListDead();
    }

    void ListDead()
    {
        _deadCount = 0;
        for (int j = 0; j < TokensSinceFired.Length; j++)
        {
            if (TokensSinceFired[j] >= deadAfter)
            {
                _dead[_deadCount++] = j;
            }
        }
    }
}
