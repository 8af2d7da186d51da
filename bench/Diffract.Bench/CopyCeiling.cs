using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Diffract.Compute.Buffers;
using Diffract.Cpu.Threads;

namespace Diffract.Bench;

/// <summary>
/// What the memory gives an update in place: six streams, the weights and both moments of two matrices, each read and written once, a row of each at a time as Adam does, with next to no
/// arithmetic. The share of the ceiling of an update refers to it.
/// </summary>
sealed unsafe class CopyCeiling : IDisposable
{
    const int Streams = 6;

    readonly WorkerPool _pool;
    readonly Matrix[] _streams_LE;

    /// <summary>For matrices [L, E].</summary>
    public CopyCeiling(WorkerPool pool, int latents, int width)
    {
        _pool = pool;
        _streams_LE = [.. Enumerable.Range(0, Streams).Select(i => Numbers.Fill(latents, width, i, 1e-3))];
    }

    /// <summary>Bytes read and written.</summary>
    public double Bytes => 2.0 * Streams * sizeof(float) * _streams_LE[0].Rows * _streams_LE[0].Columns;

    /// <summary>Seconds of one pass.</summary>
    public double Measure()
    {
        float** streams = stackalloc float*[Streams];
        for (int i = 0; i < Streams; i++)
        {
            streams[i] = _streams_LE[i].Floats;
        }

        Job job = new() { Streams = streams, Rows = _streams_LE[0].Rows, Width = _streams_LE[0].Columns };
        long start = Stopwatch.GetTimestamp();
        _pool.Run((job.Rows + 15) / 16, &Rows, &job);
        return Stopwatch.GetElapsedTime(start).TotalSeconds;
    }

    public void Dispose()
    {
        foreach (Matrix stream in _streams_LE)
        {
            stream.Buffer.Dispose();
        }
    }

    static void Rows(void* state, int task, int worker)
    {
        Job* job = (Job*)state;
        for (int r = 16 * task; r < Math.Min(job->Rows, 16 * (task + 1)); r++)
        {
            nint at = (nint)r * job->Width;
            for (int i = 0; i < Streams; i += 3)
            {
                Row(job->Streams[i] + at, job->Streams[i + 1] + at, job->Streams[i + 2] + at, job->Width);
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    static void Row(float* a, float* b, float* c, int width)
    {
        Vector256<float> factor = Vector256.Create(0.99999f);
        for (int e = 0; e <= width - 8; e += 8)
        {
            (Vector256.Load(a + e) * factor).Store(a + e);
            (Vector256.Load(b + e) * factor).Store(b + e);
            (Vector256.Load(c + e) * factor).Store(c + e);
        }
    }

    struct Job
    {
        public float** Streams;
        public int Rows;
        public int Width;
    }
}
