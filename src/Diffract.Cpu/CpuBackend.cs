using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Cpu.Crosscoder;
using Diffract.Cpu.Scaling;
using Diffract.Cpu.Transformer;

namespace Diffract.Cpu;

/// <summary>The SIMD kernels of this machine; assembles the sets and nothing else.</summary>
public sealed class CpuBackend : IBackend
{
    /// <param name="path">Instruction set of the tiles.</param>
    /// <param name="threads">Workers; results do not depend on it.</param>
    public CpuBackend(CpuPath path, int threads)
    {
        Path = path;
        Threads = threads;
        Crosscoder = new CpuCrosscoderKernels();
        Transformer = new CpuTransformerKernels();
        Scaling = new CpuScalingKernels();
    }

    public CpuPath Path { get; }

    public int Threads { get; }

    public string Name => "cpu";

    public string Description => $"cpu ({Path.ToString().ToLowerInvariant()}, {Threads} threads)";

    public ICrosscoderKernels Crosscoder { get; }

    public ITransformerKernels Transformer { get; }

    public IScalingKernels Scaling { get; }

    public IBuffer Allocate(ElementType type, long length) => new HostBuffer(type, length);

    public void Upload(ReadOnlySpan<float> source, Matrix target) => HostCopies.Upload(source, target);

    public void Download(Matrix source, Span<float> target) => HostCopies.Download(source, target);

    public void Dispose()
    {
    }
}
