using System.Runtime.InteropServices;
using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Cpu.Crosscoder;
using Diffract.Cpu.Matmul;
using Diffract.Cpu.Scaling;
using Diffract.Cpu.Threads;
using Diffract.Cpu.Transformer;

namespace Diffract.Cpu;

/// <summary>The SIMD kernels of this machine; assembles the sets and nothing else. One thread at a time may call the kernels of a set; two threads may call two sets, which take turns with the workers.</summary>
public sealed class CpuBackend : IBackend
{
    /// <summary>Below it a page or two is not worth a call of all workers.</summary>
    const long TouchFrom = 1 << 20;

    readonly WorkerPool _pool;
    readonly Action<nint, long> _touch;
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
        _touch = FirstTouch;
        _product = new MatrixProduct(path, _pool);
        _crosscoder = new CpuCrosscoderKernels(path, screening, _pool, _product);
        _transformer = new CpuTransformerKernels(path, _pool);
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

    public IBuffer Allocate(ElementType type, long length) => length * type.Size() < TouchFrom ? new HostBuffer(type, length) : new HostBuffer(type, length, _touch);

    public void Upload(ReadOnlySpan<float> source, Matrix target) => HostCopies.Upload(source, target);

    public void Download(Matrix source, Span<float> target) => HostCopies.Download(source, target);

    public void Dispose()
    {
        _crosscoder.Dispose();
        _transformer.Dispose();
        _product.Dispose();
        _pool.Dispose();
    }

    /// <summary>Clears memory by the workers that will own its stretches: the rows of every matrix of as many rows are shared out alike.</summary>
    unsafe void FirstTouch(nint address, long bytes)
    {
        Stretches stretches = new() { Address = address, Bytes = bytes, Count = _pool.Threads };
        _pool.RunEach(&Touch, &stretches);
    }

    static unsafe void Touch(void* state, int task, int worker)
    {
        Stretches* stretches = (Stretches*)state;
        long first = stretches->Bytes / 64 * task / stretches->Count * 64;
        long end = task == stretches->Count - 1 ? stretches->Bytes : stretches->Bytes / 64 * (task + 1) / stretches->Count * 64;
        NativeMemory.Clear((void*)(stretches->Address + (nint)first), (nuint)(end - first));
    }

    struct Stretches
    {
        public nint Address;
        public long Bytes;
        public int Count;
    }
}
