using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;

namespace Diffract.Compute.Reference;

public sealed class ReferenceScalingKernels : IScalingKernels
{
    public void Accumulate(SparseCode code, Matrix acts_BE, Matrix recon_BE, Matrix directions_LD, ReadOnlySpan<int> modelOffsets, HostBuffer sums)
        => throw new NotSupportedException();
}
