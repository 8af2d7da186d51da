namespace Diffract.Kernels.Tests;

/// <summary>
/// Bytes that warm work allocates on the calling thread: the least of a few repeats. A collection that some other test causes retires this thread's allocation window and counts it whole, up to
/// 8 KiB; work that does allocate, allocates every time.
/// </summary>
static class Allocations
{
    const int Repeats = 5;

    public static long Least(Action work)
    {
        long least = long.MaxValue;
        for (int i = 0; i < Repeats && least > 0; i++)
        {
            long before = GC.GetAllocatedBytesForCurrentThread();
            work();
            least = Math.Min(least, GC.GetAllocatedBytesForCurrentThread() - before);
        }

        return least;
    }
}
