using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;

namespace Diffract.Compute.Checks;

/// <summary>The check of <see cref="IScalingKernels"/>.</summary>
static class ScalingChecks
{
    public static IEnumerable<OpCheck> All =>
    [
        new("scaling", nameof(IScalingKernels.Accumulate), Tolerance.MatMul, backend =>
        {
            CheckInputs x = new();
            int[] offsets = [0, 36, 72];
            using SparseCode code = x.Code(backend);
            using HostBuffer sums = new(ElementType.Float64, (long)CheckInputs.Latents * ScalingShapes.Columns(2));
            // The code is the backend's own, in float32, so these sums are as exact as the code.
            backend.Scaling.Accumulate(code, x.Acts_BE.SliceColumns(0, 72), x.Grad_BE.SliceColumns(0, 72), x.Fill(CheckInputs.Latents, 36), offsets, sums);
            return [sums.Span<double>().ToArray()];
        }),
    ];
}
