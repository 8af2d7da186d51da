using System.Diagnostics;
using System.Runtime.InteropServices;
using Diffract.Cpu.Threads;

namespace Diffract.Cpu;

/// <summary>How fast memory moves at most: blocks far larger than the caches copied by all threads.</summary>
public static unsafe class CopyCeiling
{
    const long Bytes = 192L << 20;

    /// <summary>Best GB/s of <paramref name="runs"/> copies, bytes read plus bytes written.</summary>
    public static double Measure(WorkerPool pool, int runs = 5)
    {
        byte* source = (byte*)NativeMemory.Alloc((nuint)Bytes), target = (byte*)NativeMemory.Alloc((nuint)Bytes);
        Job job = new()
        {
            Source = source,
            Target = target,
            Part = Bytes / (4 * pool.Threads),
        };
        double best = 0;
        // The first run takes the pages from the system.
        for (int run = 0; run <= runs; run++)
        {
            long start = Stopwatch.GetTimestamp();
            pool.Run(4 * pool.Threads, &Copy, &job);
            double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
            best = run == 0 ? 0 : Math.Max(best, 2.0 * job.Part * 4 * pool.Threads / seconds / 1e9);
        }

        NativeMemory.Free(source);
        NativeMemory.Free(target);
        return best;
    }

    static void Copy(void* state, int task, int worker)
    {
        Job* job = (Job*)state;
        Buffer.MemoryCopy(job->Source + task * job->Part, job->Target + task * job->Part, job->Part, job->Part);
    }

    struct Job
    {
        public byte* Source;
        public byte* Target;
        public long Part;
    }
}
