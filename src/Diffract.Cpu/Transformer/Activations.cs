using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Cpu.Threads;

namespace Diffract.Cpu.Transformer;

/// <summary>x = activation(x), row by row, and gate = activation(gate)·up for the gated MLP.</summary>
static unsafe class Activations
{
    public static void Run(WorkerPool pool, Matrix x_TD, Activation activation)
    {
        Job job = new() { Rows = new RowTasks(x_TD, x_TD), Activation = activation };
        RowTasks.Run(pool, &Task, (RowTasks*)&job);
    }

    /// <summary>gate = activation(gate)·up, element by element; without up, gate = activation(gate).</summary>
    public static void Gate(float* gate, float* up, int count, Activation activation)
    {
        switch (activation)
        {
            case Activation.GeluTanh:
                Gate<GeluTanh>(gate, up, count);
                break;
            case Activation.Silu:
                Gate<Silu>(gate, up, count);
                break;
            case Activation.Gelu:
                Gate<Gelu>(gate, up, count);
                break;
            default:
                throw new ArgumentOutOfRangeException(nameof(activation), activation, "unknown activation");
        }
    }

    static void Task(void* state, int task, int worker)
    {
        Job* job = (Job*)state;
        (int first, int end) = job->Rows.Share(task);
        for (int t = first; t < end; t++)
        {
            Gate(job->Rows.X + t * job->Rows.XStride, null, job->Rows.Columns, job->Activation);
        }
    }

    static void Gate<T>(float* gate, float* up, int count)
        where T : IFunction
    {
        int i = 0;
        for (; i <= count - 8; i += 8)
        {
            Vector256<float> other = up == null ? Vector256<float>.One : Vector256.Load(up + i);
            T.Times(Vector256.Load(gate + i), other).Store(gate + i);
        }

        if (i < count)
        {
            float* lanes = stackalloc float[16];
            Vector256<float>.One.Store(lanes + 8);
            new ReadOnlySpan<float>(gate + i, count - i).CopyTo(new Span<float>(lanes, 8));
            if (up != null)
            {
                new ReadOnlySpan<float>(up + i, count - i).CopyTo(new Span<float>(lanes + 8, 8));
            }

            T.Times(Vector256.Load(lanes), Vector256.Load(lanes + 8)).Store(lanes);
            new ReadOnlySpan<float>(lanes, count - i).CopyTo(new Span<float>(gate + i, count - i));
        }
    }

    /// <summary>An activation, times a factor.</summary>
    interface IFunction
    {
        static abstract Vector256<float> Times(Vector256<float> x, Vector256<float> factor);
    }

    /// <summary>x·sigmoid(2u): ½(1 + tanh u) = sigmoid(2u).</summary>
    readonly struct GeluTanh : IFunction
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector256<float> Times(Vector256<float> x, Vector256<float> factor)
        {
            // -2√(2/π) and -2√(2/π)·0.044715.
            Vector256<float> y = x * Vector256.FusedMultiplyAdd(x * x, Vector256.Create(-0.0713548163f), Vector256.Create(-1.59576912f));
            return x * factor / (Vector256<float>.One + VectorMath.Exp(y));
        }
    }

    readonly struct Silu : IFunction
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector256<float> Times(Vector256<float> x, Vector256<float> factor) => x * factor / (Vector256<float>.One + VectorMath.Exp(-x));
    }

    readonly struct Gelu : IFunction
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector256<float> Times(Vector256<float> x, Vector256<float> factor) => x * factor * VectorMath.NormalShare(x);
    }

    struct Job
    {
        public RowTasks Rows;
        public Activation Activation;
    }
}
