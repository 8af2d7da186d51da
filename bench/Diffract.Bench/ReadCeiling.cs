using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Diffract.Compute.Buffers;
using Diffract.Cpu.Threads;

namespace Diffract.Bench;

/// <summary>
/// What the memory gives a reader: a block far larger than the caches, on large pages where the system has them, read once from end to end by all threads, in stretches of 256 KiB, with next to
/// no arithmetic. The share of the ceiling of a generated token refers to it.
/// </summary>
sealed unsafe class ReadCeiling(WorkerPool pool) : IDisposable
{
    const int Stretch = 256 << 10;

    const int Stretches = 2048;

    readonly HostBuffer _block = new(ElementType.Float32, (long)Stretches * Stretch / sizeof(float));

    /// <summary>Best GB/s of <paramref name="runs"/> runs over 512 MiB.</summary>
    public double Measure(int runs)
    {
        Job job = new() { Source = _block.Floats };
        double best = 0;
        for (int run = 0; run < runs; run++)
        {
            long start = Stopwatch.GetTimestamp();
            pool.Run(Stretches, &Read, &job);
            best = Math.Max(best, (double)Stretches * Stretch / Stopwatch.GetElapsedTime(start).TotalSeconds / 1e9);
        }

        return best;
    }

    public void Dispose() => _block.Dispose();

    static void Read(void* state, int task, int worker)
    {
        Job* job = (Job*)state;
        float sum = Sum(job->Source + (nint)task * (Stretch / sizeof(float)));
        if (sum != 0)
        {
            // Never: the block is zero. The sum has to be wanted by somebody.
            job->Sum = sum;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    static float Sum(float* x)
    {
        Vector256<float> s0 = Vector256<float>.Zero;
        Vector256<float> s1 = s0;
        Vector256<float> s2 = s0;
        Vector256<float> s3 = s0;
        for (float* end = x + Stretch / sizeof(float); x < end; x += 32)
        {
            s0 += Vector256.LoadAligned(x);
            s1 += Vector256.LoadAligned(x + 8);
            s2 += Vector256.LoadAligned(x + 16);
            s3 += Vector256.LoadAligned(x + 24);
        }

        return Vector256.Sum(s0 + s1 + s2 + s3);
    }

    struct Job
    {
        public float* Source;
        public float Sum;
    }
}
