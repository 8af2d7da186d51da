using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Cpu.Crosscoder;
using Diffract.Cpu.Matmul;
using Diffract.Cpu.Scaling;
using Diffract.Cpu.Threads;
using Diffract.Cpu.Transformer;

namespace Diffract.Cpu;

/// <summary>The SIMD kernels of this machine; assembles the sets and nothing else. One thread at a time may call its kernels.</summary>
public sealed class CpuBackend : IBackend
{
    readonly WorkerPool _pool;
    readonly MatrixProduct _product;
    readonly CpuCrosscoderKernels _crosscoder;
    readonly CpuTransformerKernels _transformer;

    /// <param name="path">Instruction set of the tiles.</param>
    /// <param name="threads">Workers, the caller included; results do not depend on it.</param>
    /// <param name="screening">Whether the sparse encoder looks in 16-bit integers first; results do not depend on it.</param>
    public CpuBackend(CpuPath path, int threads, ScreeningMode screening = ScreeningMode.Auto)
    {
        Screening = screening;
        Path = path;
        Threads = threads;
        _pool = new WorkerPool(threads);
        _product = new MatrixProduct(path, _pool);
        _crosscoder = new CpuCrosscoderKernels(path, screening, _pool, _product);
        _transformer = new CpuTransformerKernels(path, _pool, _product);
        Scaling = new CpuScalingKernels(_pool);
    }

    public CpuPath Path { get; }

    public int Threads { get; }

    public ScreeningMode Screening { get; }

    public string Name => "cpu";

    public string Description => $"{Processor.Name}, cpu path {KernelPath}, {Threads} threads, screening {Screening.ToString().ToLowerInvariant()}";

    public string KernelPath => Path.ToString().ToLowerInvariant();

    public ICrosscoderKernels Crosscoder => _crosscoder;

    public ITransformerKernels Transformer => _transformer;

    public IScalingKernels Scaling { get; }

    public IBuffer Allocate(ElementType type, long length) => new HostBuffer(type, length);

    public void Upload(ReadOnlySpan<float> source, Matrix target) => HostCopies.Upload(source, target);

    public void Download(Matrix source, Span<float> target) => HostCopies.Download(source, target);

    public void Dispose()
    {
        _crosscoder.Dispose();
        _transformer.Dispose();
        _product.Dispose();
        _pool.Dispose();
    }
}
