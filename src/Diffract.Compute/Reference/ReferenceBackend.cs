using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;

namespace Diffract.Compute.Reference;

/// <summary>The oracle: plain loops in double that read like their formulas. Slow on purpose; <c>--device reference</c>.</summary>
public sealed class ReferenceBackend : IBackend
{
    public string Name => "reference";

    public string Description => "reference (scalar, double accumulation)";

    public string KernelPath => Name;

    public ICrosscoderKernels Crosscoder { get; } = new ReferenceCrosscoderKernels();

    public ITransformerKernels Transformer { get; } = new ReferenceTransformerKernels();

    public IScalingKernels Scaling { get; } = new ReferenceScalingKernels();

    public IBuffer Allocate(ElementType type, long length) => new HostBuffer(type, length);

    public void Upload(ReadOnlySpan<float> source, Matrix target) => HostCopies.Upload(source, target);

    public void Download(Matrix source, Span<float> target) => HostCopies.Download(source, target);

    public void Dispose()
    {
    }
}
