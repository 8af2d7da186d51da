using System.Runtime.Intrinsics;
using Diffract.Compute.Buffers;
using Diffract.Cpu.Threads;

namespace Diffract.Cpu.Transformer;

/// <summary>RMS norm, row by row (or head by head, where the weight is as wide as a head): x/√(mean x² + ε)·(offset + w), stored or added.</summary>
static unsafe class Norm
{
    public static void Run(WorkerPool pool, Matrix x_TD, Matrix weight_D, float offset, float epsilon, Matrix y_TD, bool add)
    {
        Job job = new() { Rows = new RowTasks(x_TD, y_TD), Weight = weight_D.Floats, Width = weight_D.Columns, Offset = offset, Epsilon = epsilon, Add = add };
        RowTasks.Run(pool, &Task, (RowTasks*)&job);
    }

    static void Task(void* state, int task, int worker)
    {
        Job* job = (Job*)state;
        (int first, int end) = job->Rows.Share(task);
        for (int t = first; t < end; t++)
        {
            float* x = job->Rows.X + t * job->Rows.XStride;
            float* y = job->Rows.Y + t * job->Rows.YStride;
            for (int d = 0; d < job->Rows.Columns; d += job->Width)
            {
                Row(x + d, job->Weight, job->Width, job->Offset, job->Epsilon, y + d, job->Add);
            }
        }
    }

    static void Row(float* x, float* w, int n, float offset, float epsilon, float* y, bool add)
    {
        Vector256<float> even = Vector256<float>.Zero, odd = even;
        int d = 0;
        for (; d <= n - 16; d += 16)
        {
            Vector256<float> a = Vector256.Load(x + d), b = Vector256.Load(x + d + 8);
            even = Vector256.FusedMultiplyAdd(a, a, even);
            odd = Vector256.FusedMultiplyAdd(b, b, odd);
        }

        float squares = VectorMath.Sum(even + odd);
        for (; d < n; d++)
        {
            squares += x[d] * x[d];
        }

        float factor = 1 / MathF.Sqrt(squares / n + epsilon);
        Vector256<float> scale = Vector256.Create(factor), shift = Vector256.Create(offset);
        d = 0;
        for (; d <= n - 8; d += 8)
        {
            Vector256<float> normed = Vector256.Load(x + d) * scale * (shift + Vector256.Load(w + d));
            (add ? Vector256.Load(y + d) + normed : normed).Store(y + d);
        }

        for (; d < n; d++)
        {
            float normed = x[d] * factor * (offset + w[d]);
            y[d] = add ? y[d] + normed : normed;
        }
    }

    struct Job
    {
        public RowTasks Rows;
        public float* Weight;
        public int Width;
        public float Offset;
        public float Epsilon;
        public bool Add;
    }
}
