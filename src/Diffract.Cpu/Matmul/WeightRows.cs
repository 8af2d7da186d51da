using Diffract.Compute.Buffers;

namespace Diffract.Cpu.Matmul;

/// <summary>Where the rows of a weight matrix [N, K] lie, float32 or bfloat16, usually in a memory-mapped checkpoint.</summary>
readonly unsafe struct WeightRows(Matrix w_NK)
{
    public readonly byte* First = (byte*)((HostBuffer)w_NK.Buffer).Pointer + w_NK.Offset * w_NK.Type.Size();

    /// <summary>Bytes from row to row.</summary>
    public readonly nint Stride = (nint)w_NK.Stride * w_NK.Type.Size();

    public readonly ElementType Type = w_NK.Type;

    public byte* At(int row, int k) => First + row * Stride + (nint)k * Type.Size();
}
