using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;

namespace Diffract.Cpu.Scaling;

public sealed class CpuScalingKernels : IScalingKernels
{
    public void Accumulate(SparseCode code, Matrix acts_BE, Matrix recon_BE, Matrix directions_LD, ReadOnlySpan<int> modelOffsets, HostBuffer sums)
        => throw new NotSupportedException();
}
