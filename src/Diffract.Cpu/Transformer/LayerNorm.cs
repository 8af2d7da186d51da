using System.Runtime.Intrinsics;
using Diffract.Compute.Buffers;
using Diffract.Cpu.Threads;

namespace Diffract.Cpu.Transformer;

/// <summary>Layer norm, row by row: (x - mean)/√(mean (x - mean)² + ε)·w + b. The mean first, then the squares around it: a large mean would swallow them otherwise.</summary>
static unsafe class LayerNorm
{
    public static void Run(WorkerPool pool, Matrix x_TD, Matrix weight_D, Matrix bias_D, float epsilon, Matrix y_TD)
    {
        Job job = new() { Rows = new RowTasks(x_TD, y_TD), Weight = weight_D.Floats, Bias = bias_D.Floats, Epsilon = epsilon };
        RowTasks.Run(pool, &Task, (RowTasks*)&job);
    }

    static void Task(void* state, int task, int worker)
    {
        Job* job = (Job*)state;
        (int first, int end) = job->Rows.Share(task);
        for (int t = first; t < end; t++)
        {
            Row(job->Rows.X + t * job->Rows.XStride, job->Weight, job->Bias, job->Rows.Columns, job->Epsilon, job->Rows.Y + t * job->Rows.YStride);
        }
    }

    static void Row(float* x, float* w, float* b, int n, float epsilon, float* y)
    {
        float mean = Sum(x, n) / n;
        Vector256<float> shift = Vector256.Create(mean), squares = Vector256<float>.Zero;
        int d = 0;
        for (; d <= n - 8; d += 8)
        {
            Vector256<float> off = Vector256.Load(x + d) - shift;
            squares = Vector256.FusedMultiplyAdd(off, off, squares);
        }

        float variance = VectorMath.Sum(squares);
        for (; d < n; d++)
        {
            variance += (x[d] - mean) * (x[d] - mean);
        }

        float factor = 1 / MathF.Sqrt(variance / n + epsilon);
        Vector256<float> scale = Vector256.Create(factor);
        d = 0;
        for (; d <= n - 8; d += 8)
        {
            Vector256.FusedMultiplyAdd((Vector256.Load(x + d) - shift) * scale, Vector256.Load(w + d), Vector256.Load(b + d)).Store(y + d);
        }

        for (; d < n; d++)
        {
            y[d] = MathF.FusedMultiplyAdd((x[d] - mean) * factor, w[d], b[d]);
        }
    }

    static float Sum(float* x, int n)
    {
        Vector256<float> even = Vector256<float>.Zero, odd = even;
        int d = 0;
        for (; d <= n - 16; d += 16)
        {
            even += Vector256.Load(x + d);
            odd += Vector256.Load(x + d + 8);
        }

        float sum = VectorMath.Sum(even + odd);
        for (; d < n; d++)
        {
            sum += x[d];
        }

        return sum;
    }

    struct Job
    {
        public RowTasks Rows;
        public float* Weight;
        public float* Bias;
        public float Epsilon;
    }
}
