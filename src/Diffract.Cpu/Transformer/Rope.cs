using System.Runtime.Intrinsics;
using Diffract.Compute.Buffers;
using Diffract.Cpu.Threads;

namespace Diffract.Cpu.Transformer;

/// <summary>Rotary positions: the pair (a, b) = (x_i, x_{i + R/2}) becomes (a·cos - b·sin, b·cos + a·sin), in place, R the table's width.</summary>
static unsafe class Rope
{
    public static void Run(WorkerPool pool, Matrix x_TD, int headWidth, ReadOnlySpan<int> positions, Matrix cosSin_PR)
    {
        fixed (int* position = positions)
        {
            Job job = new() { Rows = new RowTasks(x_TD, x_TD), Position = position, Table = cosSin_PR.Floats, TableStride = cosSin_PR.Stride, HeadWidth = headWidth, Half = cosSin_PR.Columns / 2 };
            RowTasks.Run(pool, &Task, (RowTasks*)&job);
        }
    }

    static void Task(void* state, int task, int worker)
    {
        Job* job = (Job*)state;
        (int first, int end) = job->Rows.Share(task);
        int half = job->Half;
        for (int t = first; t < end; t++)
        {
            float* cos = job->Table + job->Position[t] * job->TableStride;
            float* row = job->Rows.X + t * job->Rows.XStride;
            for (float* x = row; x < row + job->Rows.Columns; x += job->HeadWidth)
            {
                Rotate(x, cos, cos + half, half);
            }
        }
    }

    static void Rotate(float* x, float* cos, float* sin, int half)
    {
        int i = 0;
        for (; i <= half - 8; i += 8)
        {
            Vector256<float> a = Vector256.Load(x + i), b = Vector256.Load(x + half + i), c = Vector256.Load(cos + i), s = Vector256.Load(sin + i);
            Vector256.FusedMultiplyAdd(a, c, -(b * s)).Store(x + i);
            Vector256.FusedMultiplyAdd(b, c, a * s).Store(x + half + i);
        }

        for (; i < half; i++)
        {
            float a = x[i], b = x[half + i];
            x[i] = MathF.FusedMultiplyAdd(a, cos[i], -(b * sin[i]));
            x[half + i] = MathF.FusedMultiplyAdd(b, cos[i], a * sin[i]);
        }
    }

    struct Job
    {
        public RowTasks Rows;
        public int* Position;
        public float* Table;
        public long TableStride;
        public int HeadWidth;
        public int Half;
    }
}
