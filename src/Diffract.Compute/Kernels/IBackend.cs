using Diffract.Compute.Buffers;

namespace Diffract.Compute.Kernels;

/// <summary>One place where kernels run: the scalar reference, the CPU, a GPU later.</summary>
public interface IBackend : IDisposable
{
    /// <summary>"reference", "cpu".</summary>
    string Name { get; }

    /// <summary>One line for manifests: processor, kernel path, threads.</summary>
    string Description { get; }

    /// <summary>What rounding depends on: "reference", "vector", "avx2", "avx512". A training that is to end with the same bits stays on one.</summary>
    string KernelPath { get; }

    ICrosscoderKernels Crosscoder { get; }

    ITransformerKernels Transformer { get; }

    IScalingKernels Scaling { get; }

    /// <summary>A zeroed buffer that this backend's kernels can use.</summary>
    IBuffer Allocate(ElementType type, long length);

    /// <summary>Copies host floats into <paramref name="target"/>, whose type is float32.</summary>
    void Upload(ReadOnlySpan<float> source, Matrix target);

    /// <summary>Copies a float32 matrix to the host, row by row, without padding.</summary>
    void Download(Matrix source, Span<float> target);
}

public static class BackendMatrices
{
    /// <summary>A zeroed matrix [rows, columns] without padding, owned by the caller.</summary>
    public static Matrix Matrix(this IBackend backend, int rows, int columns, ElementType type = ElementType.Float32)
        => new(backend.Allocate(type, (long)rows * columns), rows, columns, columns);
}
