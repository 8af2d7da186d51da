using Diffract.Compute.Buffers;

namespace Diffract.Compute.Kernels;

/// <summary>The running sums behind beta (spec 5.1). Sums in double; one latent is summed by one thread in token order.</summary>
public interface IScalingKernels
{
    /// <summary>
    /// For each active pair (b, j) of <paramref name="code"/> and each latent's direction v_j: adds f² to C, f to S, 1 to the count, and for each model m
    /// f·⟨acts_bm, v_j⟩ to A[m] and f·⟨recon_bm, v_j⟩ to R[m].
    /// </summary>
    /// <param name="code">Active pairs, unscaled.</param>
    /// <param name="acts_BE">[B, E] raw activations.</param>
    /// <param name="recon_BE">[B, E] full reconstructions, biases included.</param>
    /// <param name="directions_LD">[L, D]: v_j; every model has width D.</param>
    /// <param name="modelOffsets">[M + 1].</param>
    /// <param name="sums">[L, 3 + 2M] double, added to: count, S, C, A[0..M-1], R[0..M-1].</param>
    void Accumulate(SparseCode code, Matrix acts_BE, Matrix recon_BE, Matrix directions_LD, ReadOnlySpan<int> modelOffsets, HostBuffer sums);
}
