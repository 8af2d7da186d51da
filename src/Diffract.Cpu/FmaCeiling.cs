using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Diffract.Cpu.Threads;

namespace Diffract.Cpu;

/// <summary>What this machine can do at most: multiply-adds on registers only, on all threads. Every share of the ceiling refers to it.</summary>
public static unsafe class FmaCeiling
{
    const int Rounds = 2_000_000;

    /// <summary>Best GFLOP/s of <paramref name="runs"/> runs of about 20 ms.</summary>
    public static double Measure(WorkerPool pool, CpuPath path, int runs = 7)
    {
        double best = 0;
        float* sums = stackalloc float[pool.Threads];
        int chains = path == CpuPath.Avx512 ? 12 * 16 : 12 * 8;
        for (int run = 0; run < runs; run++)
        {
            long start = Stopwatch.GetTimestamp();
            pool.Run(pool.Threads, path == CpuPath.Avx512 ? &Wide : &Narrow, sums);
            double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
            best = Math.Max(best, 2.0 * chains * Rounds * pool.Threads / seconds / 1e9);
        }

        return best;
    }

    static void Narrow(void* state, int task, int worker) => ((float*)state)[task] = Narrow();

    static void Wide(void* state, int task, int worker) => ((float*)state)[task] = Wide();

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    static float Narrow()
    {
        Vector256<float> x = Vector256.Create(0.999f), y = Vector256.Create(1e-3f);
        Vector256<float> s0 = Vector256.Create(0f);
        Vector256<float> s1 = Vector256.Create(1f);
        Vector256<float> s2 = Vector256.Create(2f);
        Vector256<float> s3 = Vector256.Create(3f);
        Vector256<float> s4 = Vector256.Create(4f);
        Vector256<float> s5 = Vector256.Create(5f);
        Vector256<float> s6 = Vector256.Create(6f);
        Vector256<float> s7 = Vector256.Create(7f);
        Vector256<float> s8 = Vector256.Create(8f);
        Vector256<float> s9 = Vector256.Create(9f);
        Vector256<float> s10 = Vector256.Create(10f);
        Vector256<float> s11 = Vector256.Create(11f);
        for (int i = 0; i < Rounds; i++)
        {
            s0 = Vector256.FusedMultiplyAdd(s0, x, y);
            s1 = Vector256.FusedMultiplyAdd(s1, x, y);
            s2 = Vector256.FusedMultiplyAdd(s2, x, y);
            s3 = Vector256.FusedMultiplyAdd(s3, x, y);
            s4 = Vector256.FusedMultiplyAdd(s4, x, y);
            s5 = Vector256.FusedMultiplyAdd(s5, x, y);
            s6 = Vector256.FusedMultiplyAdd(s6, x, y);
            s7 = Vector256.FusedMultiplyAdd(s7, x, y);
            s8 = Vector256.FusedMultiplyAdd(s8, x, y);
            s9 = Vector256.FusedMultiplyAdd(s9, x, y);
            s10 = Vector256.FusedMultiplyAdd(s10, x, y);
            s11 = Vector256.FusedMultiplyAdd(s11, x, y);
        }

        return Vector256.Sum(s0 + s1 + s2 + s3 + s4 + s5 + s6 + s7 + s8 + s9 + s10 + s11);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    static float Wide()
    {
        Vector512<float> x = Vector512.Create(0.999f), y = Vector512.Create(1e-3f);
        Vector512<float> s0 = Vector512.Create(0f);
        Vector512<float> s1 = Vector512.Create(1f);
        Vector512<float> s2 = Vector512.Create(2f);
        Vector512<float> s3 = Vector512.Create(3f);
        Vector512<float> s4 = Vector512.Create(4f);
        Vector512<float> s5 = Vector512.Create(5f);
        Vector512<float> s6 = Vector512.Create(6f);
        Vector512<float> s7 = Vector512.Create(7f);
        Vector512<float> s8 = Vector512.Create(8f);
        Vector512<float> s9 = Vector512.Create(9f);
        Vector512<float> s10 = Vector512.Create(10f);
        Vector512<float> s11 = Vector512.Create(11f);
        for (int i = 0; i < Rounds; i++)
        {
            s0 = Vector512.FusedMultiplyAdd(s0, x, y);
            s1 = Vector512.FusedMultiplyAdd(s1, x, y);
            s2 = Vector512.FusedMultiplyAdd(s2, x, y);
            s3 = Vector512.FusedMultiplyAdd(s3, x, y);
            s4 = Vector512.FusedMultiplyAdd(s4, x, y);
            s5 = Vector512.FusedMultiplyAdd(s5, x, y);
            s6 = Vector512.FusedMultiplyAdd(s6, x, y);
            s7 = Vector512.FusedMultiplyAdd(s7, x, y);
            s8 = Vector512.FusedMultiplyAdd(s8, x, y);
            s9 = Vector512.FusedMultiplyAdd(s9, x, y);
            s10 = Vector512.FusedMultiplyAdd(s10, x, y);
            s11 = Vector512.FusedMultiplyAdd(s11, x, y);
        }

        return Vector512.Sum(s0 + s1 + s2 + s3 + s4 + s5 + s6 + s7 + s8 + s9 + s10 + s11);
    }
}
