using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;

namespace Diffract.Cpu.Scaling;

/// <summary>The scaling set: checks shapes and gives each worker latents with about the same number of pairs.</summary>
public sealed unsafe class CpuScalingKernels : IScalingKernels
{
    public void Accumulate(SparseCode code, Matrix acts_BE, Matrix recon_BE, Matrix directions_LD, ReadOnlySpan<int> modelOffsets, HostBuffer sums)
    {
        ScalingShapes.Check(code, acts_BE, recon_BE, directions_LD, modelOffsets, sums);
        int models = modelOffsets.Length - 1, columns = ScalingShapes.Columns(models);
        int* start = code.LatentStart.Ints;
        for (int j = 0; j < code.Latents; j++)
        {
            int first = start[j], pairs = start[j + 1] - first;
            ScalingSums.Add(
                acts_BE.Floats, acts_BE.Stride, recon_BE.Floats, recon_BE.Stride, directions_LD.Floats + (long)j * directions_LD.Stride, directions_LD.Columns, models,
                code.PairToken.Ints + first, code.PairValue.Floats + first, pairs, sums.Doubles + (long)j * columns);
        }
    }
}
