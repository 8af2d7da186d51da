namespace Diffract.Compute.Buffers;

/// <summary>Memory that a backend's kernels can use: host memory here, device memory on a GPU later.</summary>
public interface IBuffer : IDisposable
{
    /// <summary>Number of elements.</summary>
    long Length { get; }

    ElementType Type { get; }
}
