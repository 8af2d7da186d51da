using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Cpu.Threads;

namespace Diffract.Cpu.Crosscoder;

/// <summary>The factors of one step of Adam in float32, as torch applies them.</summary>
readonly unsafe struct Adam
{
    const int RowsPerTask = 16;

    readonly float _beta1, _rest1, _beta2, _rest2, _step, _root, _epsilon, _clip;

    public Adam(in AdamStep step)
    {
        _beta1 = (float)step.Beta1;
        _rest1 = (float)(1 - step.Beta1);
        _beta2 = (float)step.Beta2;
        _rest2 = (float)(1 - step.Beta2);
        _step = (float)(step.LearningRate / step.Correction1);
        _root = (float)(1 / Math.Sqrt(step.Correction2));
        _epsilon = (float)step.Epsilon;
        _clip = (float)step.Clip;
    }

    /// <summary>Moves one row; a null gradient is a row of zeros.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public void Row(float* w, float* gradient, float* m, float* v, int width)
    {
        int c = 0;
        Vector256<float> beta1 = Vector256.Create(_beta1), rest1 = Vector256.Create(_rest1);
        Vector256<float> beta2 = Vector256.Create(_beta2), rest2 = Vector256.Create(_rest2);
        Vector256<float> step = Vector256.Create(-_step), root = Vector256.Create(_root), epsilon = Vector256.Create(_epsilon);
        Vector256<float> clip = Vector256.Create(_clip);
        if (gradient == null)
        {
            for (; c <= width - 8; c += 8)
            {
                Vector256<float> m1 = Vector256.Load(m + c) * beta1;
                Vector256<float> v1 = Vector256.Load(v + c) * beta2;
                m1.Store(m + c);
                v1.Store(v + c);
                Vector256<float> move = m1 / Vector256.MultiplyAddEstimate(Vector256.Sqrt(v1), root, epsilon);
                Vector256.MultiplyAddEstimate(step, move, Vector256.Load(w + c)).Store(w + c);
            }
        }
        else
        {
            for (; c <= width - 8; c += 8)
            {
                Vector256<float> g = Vector256.Load(gradient + c) * clip;
                Vector256<float> m1 = Vector256.MultiplyAddEstimate(g, rest1, Vector256.Load(m + c) * beta1);
                Vector256<float> v1 = Vector256.MultiplyAddEstimate(g * g, rest2, Vector256.Load(v + c) * beta2);
                m1.Store(m + c);
                v1.Store(v + c);
                Vector256<float> move = m1 / Vector256.MultiplyAddEstimate(Vector256.Sqrt(v1), root, epsilon);
                Vector256.MultiplyAddEstimate(step, move, Vector256.Load(w + c)).Store(w + c);
            }
        }

        for (; c < width; c++)
        {
            Single(w + c, gradient == null ? 0 : gradient[c], m + c, v + c);
        }
    }

    /// <summary>Moves one number.</summary>
    public void Single(float* w, float gradient, float* m, float* v)
    {
        gradient *= _clip;
        *m = float.MultiplyAddEstimate(gradient, _rest1, *m * _beta1);
        *v = float.MultiplyAddEstimate(gradient * gradient, _rest2, *v * _beta2);
        *w = float.MultiplyAddEstimate(-_step, *m / float.MultiplyAddEstimate(MathF.Sqrt(*v), _root, _epsilon), *w);
    }

    /// <summary>Adam on a whole matrix.</summary>
    public static void Run(WorkerPool pool, Matrix w, Matrix gradient, Matrix adamM, Matrix adamV, in AdamStep step)
    {
        // One long row is cut like many short ones.
        bool flat = w.Rows == 1;
        int part = flat ? 4096 : w.Columns;
        Job job = new()
        {
            Adam = new Adam(step),
            W = w.Floats,
            WStride = flat ? part : w.Stride,
            G = gradient.Floats,
            GStride = flat ? part : gradient.Stride,
            M = adamM.Floats,
            MStride = flat ? part : adamM.Stride,
            V = adamV.Floats,
            VStride = flat ? part : adamV.Stride,
            Rows = flat ? (w.Columns + part - 1) / part : w.Rows,
            Width = part,
            Total = flat ? w.Columns : int.MaxValue,
        };
        pool.Run((job.Rows + RowsPerTask - 1) / RowsPerTask, &Rows, &job);
    }

    static void Rows(void* state, int task, int worker)
    {
        Job* job = (Job*)state;
        int end = Math.Min(job->Rows, (task + 1) * RowsPerTask);
        for (int r = task * RowsPerTask; r < end; r++)
        {
            int width = job->Total == int.MaxValue ? job->Width : Math.Min(job->Width, job->Total - r * job->Width);
            job->Adam.Row(job->W + r * job->WStride, job->G + r * job->GStride, job->M + r * job->MStride, job->V + r * job->VStride, width);
        }
    }

    struct Job
    {
        public Adam Adam;
        public float* W;
        public nint WStride;
        public float* G;
        public nint GStride;
        public float* M;
        public nint MStride;
        public float* V;
        public nint VStride;
        public int Rows;
        public int Width;
        public int Total;
    }
}
