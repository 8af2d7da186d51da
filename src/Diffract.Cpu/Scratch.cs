using Diffract.Compute.Buffers;

namespace Diffract.Cpu;

/// <summary>Working memory that kernels keep between calls.</summary>
static class Scratch
{
    /// <summary>
    /// A buffer with room for <paramref name="length"/> elements; what it held is lost when it has to grow. It grows by half at least, so that a need that creeps up,
    /// like the number of dead latents, seldom allocates.
    /// </summary>
    public static HostBuffer Grow(ref HostBuffer buffer, long length)
    {
        if (buffer.Length < length)
        {
            ElementType type = buffer.Type;
            length = Math.Max(length, buffer.Length * 3 / 2);
            buffer.Dispose();
            buffer = new HostBuffer(type, length);
        }

        return buffer;
    }
}
