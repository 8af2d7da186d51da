using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Cpu.Matmul;
using Diffract.Cpu.Threads;

namespace Diffract.Cpu.Transformer;

/// <summary>
/// out = (activation(x·gateᵀ) ∘ (x·upᵀ))·downᵀ. The weights are packed (and widened) first; then a task takes a block of rows through all three products, a strip of the inner
/// width at a time, so that the inner activations never leave the second-level cache. Sums run in the order of their index, as in <see cref="MatrixProduct"/>.
/// </summary>
sealed unsafe class Mlp(CpuPath path, WorkerPool pool, MatrixProduct product) : IDisposable
{
    const int BlockRows = 48;

    /// <summary>Inner width of a strip, at most: a multiple of every panel's width.</summary>
    const int MaxStrip = 144;

    /// <summary>Floats of packed weights at a time, all three together.</summary>
    const long PackedFloats = 16 << 20;

    HostBuffer _packed = new(ElementType.Float32, 16);
    HostBuffer _scratch = new(ElementType.Float32, 16);

    public void Run(Matrix x_TD, Matrix gate_FD, Matrix up_FD, Matrix down_DF, Activation activation, Matrix out_TD)
    {
        if (x_TD.Rows < BlockRows / 2)
        {
            Few(x_TD, gate_FD, up_FD, down_DF, activation, out_TD);
            return;
        }

        int panel = product.PanelColumns, width = x_TD.Columns, inner = gate_FD.Rows;
        int outPanels = (width + panel - 1) / panel;
        int chunk = (int)Math.Max(MaxStrip, PackedFloats / (3L * width) / MaxStrip * MaxStrip);
        for (int f = 0; f < inner; f += chunk)
        {
            int some = Math.Min(chunk, inner - f);
            int innerPanels = (some + panel - 1) / panel;
            long ofInner = (long)innerPanels * panel * width, ofDown = (long)outPanels * panel * some;
            Reserve(ref _packed, 2 * ofInner + ofDown);
            float* gate = _packed.Floats, up = gate + ofInner, down = up + ofInner;
            product.PackRows(gate_FD.SliceRows(f, some), gate);
            product.PackRows(up_FD.SliceRows(f, some), up);
            product.PackRows(down_DF.SliceColumns(f, some), down);
            long perWorker = (long)BlockRows * (2 * MaxStrip + outPanels * panel);
            Reserve(ref _scratch, perWorker * pool.Threads);
            Job job = new()
            {
                X = x_TD.Floats,
                XStride = x_TD.Stride,
                Rows = x_TD.Rows,
                Width = width,
                OutPanels = outPanels,
                Inner = some,
                Strip = EvenStrip(some, panel),
                Gate = gate,
                Up = up,
                Down = down,
                Out = out_TD.Floats,
                OutStride = out_TD.Stride,
                Continue = f > 0,
                Activation = activation,
                Scratch = _scratch.Floats,
                PerWorker = perWorker,
            };
            Share(&job);
        }
    }

    public void Dispose()
    {
        _packed.Dispose();
        _scratch.Dispose();
    }

    /// <summary>A few rows: whole products, which all workers share by columns.</summary>
    void Few(Matrix x_TD, Matrix gate_FD, Matrix up_FD, Matrix down_DF, Activation activation, Matrix out_TD)
    {
        int rows = x_TD.Rows, inner = gate_FD.Rows;
        Reserve(ref _scratch, 2L * BlockRows * inner);
        Matrix gate_TF = new(_scratch, rows, inner, inner), up_TF = gate_TF with { Offset = (long)rows * inner };
        product.TimesTransposed(x_TD, gate_FD, gate_TF);
        product.TimesTransposed(x_TD, up_FD, up_TF);
        Gate(gate_TF.Floats, up_TF.Floats, rows * inner, activation);
        product.TimesTransposed(gate_TF, down_DF, out_TD);
    }

    /// <summary>Width of the strips into which an inner width falls most evenly, in whole panels.</summary>
    static int EvenStrip(int inner, int panel)
    {
        int strips = (inner + MaxStrip - 1) / MaxStrip;
        return ((inner + strips - 1) / strips + panel - 1) / panel * panel;
    }

    void Share(Job* job)
    {
        int tasks = (job->Rows + BlockRows - 1) / BlockRows;
        switch (path)
        {
            case CpuPath.Avx512:
                pool.Run(tasks, &Task<MatmulAvx512F32>, job);
                break;
            case CpuPath.Avx2:
                pool.Run(tasks, &Task<MatmulAvx2F32>, job);
                break;
            default:
                pool.Run(tasks, &Task<MatmulVectorF32>, job);
                break;
        }
    }

    static void Task<T>(void* state, int task, int worker)
        where T : ITile
    {
        Job* job = (Job*)state;
        int row = task * BlockRows, rows = Math.Min(BlockRows, job->Rows - row);
        int width = job->Width, padded = job->OutPanels * T.Columns, strip = job->Strip;
        float* x = job->X + row * job->XStride;
        float* gate = job->Scratch + worker * job->PerWorker;
        float* up = gate + BlockRows * MaxStrip;
        float* result = up + BlockRows * MaxStrip;
        float* target = job->Out + row * job->OutStride;
        if (job->Continue)
        {
            Copy(target, job->OutStride, result, padded, rows, width);
        }

        for (int f = 0; f < job->Inner; f += strip)
        {
            int some = Math.Min(strip, job->Inner - f);
            for (int j = 0; j < some; j += T.Columns)
            {
                Panel<T>(width, x, (nint)job->XStride, rows, job->Gate + (long)(f + j) * width, gate + j, strip);
                Panel<T>(width, x, (nint)job->XStride, rows, job->Up + (long)(f + j) * width, up + j, strip);
            }

            Gate(gate, up, rows * strip, job->Activation);
            for (int p = 0; p < job->OutPanels; p++)
            {
                float* panel = job->Down + ((long)p * job->Inner + f) * T.Columns;
                for (int i = 0; i < rows; i += T.Rows)
                {
                    float* c = result + i * padded + p * T.Columns;
                    T.Run(some, gate + i * strip, strip, Math.Min(T.Rows, rows - i), panel, c, padded, f > 0 || job->Continue);
                }
            }
        }

        Copy(result, padded, target, job->OutStride, rows, width);
    }

    /// <summary>Rows of x times one packed panel.</summary>
    static void Panel<T>(int depth, float* x, nint ldx, int rows, float* panel, float* c, nint ldc)
        where T : ITile
    {
        for (int k = 0; k < depth; k += T.Depth)
        {
            for (int i = 0; i < rows; i += T.Rows)
            {
                T.Run(Math.Min(T.Depth, depth - k), x + i * ldx + k, ldx, Math.Min(T.Rows, rows - i), panel + (long)k * T.Columns, c + i * ldc, ldc, k > 0);
            }
        }
    }

    /// <summary>gate = activation(gate)·up. Both activations are x·sigmoid(y): for the GELU, ½(1 + tanh u) = sigmoid(2u).</summary>
    static void Gate(float* gate, float* up, int count, Activation activation)
    {
        bool gelu = activation == Activation.GeluTanh;
        // -2√(2/π) and -2√(2/π)·0.044715.
        Vector256<float> linear = Vector256.Create(gelu ? -1.59576912f : -1f), cubic = Vector256.Create(gelu ? -0.0713548163f : 0f);
        int i = 0;
        for (; i <= count - 8; i += 8)
        {
            Activate(Vector256.Load(gate + i), Vector256.Load(up + i), linear, cubic).Store(gate + i);
        }

        if (i < count)
        {
            float* lanes = stackalloc float[16];
            new ReadOnlySpan<float>(gate + i, count - i).CopyTo(new Span<float>(lanes, 8));
            new ReadOnlySpan<float>(up + i, count - i).CopyTo(new Span<float>(lanes + 8, 8));
            Activate(Vector256.Load(lanes), Vector256.Load(lanes + 8), linear, cubic).Store(lanes);
            new ReadOnlySpan<float>(lanes, count - i).CopyTo(new Span<float>(gate + i, count - i));
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static Vector256<float> Activate(Vector256<float> x, Vector256<float> up, Vector256<float> linear, Vector256<float> cubic)
    {
        Vector256<float> y = x * Vector256.FusedMultiplyAdd(x * x, cubic, linear);
        return x * up / (Vector256<float>.One + VectorMath.Exp(y));
    }

    static void Copy(float* source, long lds, float* target, long ldt, int rows, int columns)
    {
        for (int r = 0; r < rows; r++)
        {
            new ReadOnlySpan<float>(source + r * lds, columns).CopyTo(new Span<float>(target + r * ldt, columns));
        }
    }

    static void Reserve(ref HostBuffer buffer, long floats)
    {
        if (buffer.Length < floats)
        {
            buffer.Dispose();
            buffer = new HostBuffer(ElementType.Float32, floats);
        }
    }

    struct Job
    {
        public float* X;
        public long XStride;
        public int Rows;
        public int Width;
        public int OutPanels;
        public int Inner;
        public int Strip;
        public float* Gate;
        public float* Up;
        public float* Down;
        public float* Out;
        public long OutStride;
        public bool Continue;
        public Activation Activation;
        public float* Scratch;
        public long PerWorker;
    }
}
