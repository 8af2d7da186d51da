using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Diffract.Compute.Buffers;
using Diffract.Cpu.Matmul;
using Diffract.Cpu.Threads;

namespace Diffract.Cpu.Crosscoder;

/// <summary>
/// The ops on a code kept as a matrix [B, L]. The products run with the latents as rows, so that only the batch has to be packed; what happens to their elements afterwards (ReLU or mask,
/// counts, sums over the batch, the turn to token-major) is done while a block lies in the first-level cache.
/// </summary>
sealed unsafe class DenseCode : IDisposable
{
    /// <summary>Latents of a block, and tokens, at most.</summary>
    const int Latents = ProductTasks.BlockRows, Tokens = 48;

    /// <summary>From this many floats on the matrix is written past the caches: nothing of it would be left there.</summary>
    const long Streamed = 6 << 20;

    readonly MatrixProduct _product;
    readonly WorkerPool _pool;
    readonly HostBuffer _turned;
    readonly Counter* _counters;
    HostBuffer _starts = new(ElementType.Float32, 16);
    HostBuffer _sums = new(ElementType.Float64, 16);

    public DenseCode(WorkerPool pool, MatrixProduct product)
    {
        _product = product;
        _pool = pool;
        _turned = new HostBuffer(ElementType.Float32, (long)pool.Threads * Latents * Tokens);
        _counters = (Counter*)NativeMemory.AllocZeroed((nuint)pool.Threads, (nuint)sizeof(Counter));
    }

    public void Dispose()
    {
        _turned.Dispose();
        _starts.Dispose();
        _sums.Dispose();
        NativeMemory.Free(_counters);
    }

    /// <summary>code = ReLU(acts · wEncᵀ + bEnc); its sums over the batch; returns how many of its elements are above 0.</summary>
    public long Encode(Matrix acts_BE, Matrix wEnc_LE, Matrix bEnc_L, Matrix code_BL, Matrix? sum_L)
    {
        Job job = Prepare(code_BL);
        job.Ahead = job.Stream ? null : job.Target;
        job.AheadStride = job.TargetStride;
        _product.TimesTransposed(wEnc_LE, acts_BE, bEnc_L.Floats, new ProductEnd(&End, &Fetch, &job, wholeRows: false));
        Round(sum_L);
        long active = 0;
        for (int i = 0; i < _pool.Threads; i++)
        {
            active += _counters[i].Active;
        }

        return active;
    }

    /// <summary>codeGrad = grad · wDecᵀ + penalty·s where the code is above 0, else 0; its sums over the batch.</summary>
    public void Gradient(Matrix code_BL, Matrix grad_BE, Matrix wDec_LE, Matrix scale_L, float penalty, Matrix codeGrad_BL, Matrix sum_L)
    {
        int latents = code_BL.Columns;
        float* starts = Scratch.Grow(ref _starts, latents).Floats;
        for (int j = 0; j < latents; j++)
        {
            starts[j] = penalty * scale_L.Floats[j];
        }

        Job job = Prepare(codeGrad_BL);
        job.Gate = code_BL.Floats;
        job.GateStride = code_BL.Stride;
        job.Ahead = job.Gate;
        job.AheadStride = job.GateStride;
        _product.TimesTransposed(wDec_LE, grad_BE, starts, new ProductEnd(&End, &Fetch, &job, wholeRows: false));
        Round(sum_L);
    }

    Job Prepare(Matrix target_BL)
    {
        for (int i = 0; i < _pool.Threads; i++)
        {
            _counters[i].Active = 0;
        }

        double* sums = Scratch.Grow(ref _sums, target_BL.Columns).Doubles;
        new Span<double>(sums, target_BL.Columns).Clear();
        return new Job
        {
            Target = target_BL.Floats,
            TargetStride = target_BL.Stride,
            Stream = (long)target_BL.Rows * target_BL.Columns >= Streamed && target_BL.Stride % 8 == 0 && (nint)target_BL.Floats % 32 == 0,
            Sums = sums,
            Turned = _turned.Floats,
            Counters = _counters,
        };
    }

    void Round(Matrix? sum_L)
    {
        if (sum_L is { } sum)
        {
            for (int j = 0; j < sum.Columns; j++)
            {
                sum.Floats[j] = (float)_sums.Doubles[j];
            }
        }
    }

    static void Fetch(void* state, ProductBlock* block, int first, int rows)
    {
        Job* job = (Job*)state;
        if (!Sse.IsSupported || job->Ahead == null)
        {
            return;
        }

        int end = (first + rows) * block->Columns / block->Rows;
        for (int t = first * block->Columns / block->Rows; t < end; t++)
        {
            float* row = job->Ahead + (block->Column + t) * job->AheadStride + block->Row;
            for (int j = 0; j < block->Rows; j += 16)
            {
                Sse.Prefetch1(row + j);
            }
        }
    }

    static void End(void* state, ProductBlock* block)
    {
        Job* job = (Job*)state;
        float* turned = job->Turned + (nint)block->Worker * Latents * Tokens;
        MatmulPanels.Transpose(block->Values, block->Stride, block->Rows, block->Columns, turned, Latents);
        float* target = job->Target + block->Column * job->TargetStride + block->Row;
        float* gate = job->Gate == null ? turned : job->Gate + block->Column * job->GateStride + block->Row;
        nint gateStride = job->Gate == null ? Latents : job->GateStride;
        job->Counters[block->Worker].Active += Finish(
            block->Columns, block->Rows, turned, gate, gateStride, target, job->TargetStride, job->Sums + block->Row, job->Stream);
    }

    /// <summary>target = turned where the gate is above 0, else 0; adds to the sums of the latents, in the order of the tokens; returns how often the gate is above 0.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    static long Finish(int tokens, int latents, float* turned, float* gate, nint gateStride, float* target, nint stride, double* sums, bool stream)
    {
        Vector256<int> count = Vector256<int>.Zero;
        int j = 0;
        for (; j <= latents - 16; j += 16)
        {
            Vector256<double> s0 = Vector256.Load(sums + j), s1 = Vector256.Load(sums + j + 4), s2 = Vector256.Load(sums + j + 8), s3 = Vector256.Load(sums + j + 12);
            for (int t = 0; t < tokens; t++)
            {
                Vector256<float> on0 = Vector256.GreaterThan(Vector256.Load(gate + t * gateStride + j), Vector256<float>.Zero);
                Vector256<float> on1 = Vector256.GreaterThan(Vector256.Load(gate + t * gateStride + j + 8), Vector256<float>.Zero);
                Vector256<float> x0 = Vector256.Load(turned + t * Latents + j) & on0, x1 = Vector256.Load(turned + t * Latents + j + 8) & on1;
                count -= on0.AsInt32() + on1.AsInt32();
                s0 += Vector256.WidenLower(x0);
                s1 += Vector256.WidenUpper(x0);
                s2 += Vector256.WidenLower(x1);
                s3 += Vector256.WidenUpper(x1);
                float* to = target + t * stride + j;
                if (stream)
                {
                    x0.StoreAlignedNonTemporal(to);
                    x1.StoreAlignedNonTemporal(to + 8);
                }
                else
                {
                    x0.Store(to);
                    x1.Store(to + 8);
                }
            }

            s0.Store(sums + j);
            s1.Store(sums + j + 4);
            s2.Store(sums + j + 8);
            s3.Store(sums + j + 12);
        }

        long active = Vector256.Sum(count);
        for (; j < latents; j++)
        {
            for (int t = 0; t < tokens; t++)
            {
                bool on = gate[t * gateStride + j] > 0;
                float x = on ? turned[t * Latents + j] : 0;
                active += on ? 1 : 0;
                sums[j] += x;
                target[t * stride + j] = x;
            }
        }

        return active;
    }

    [StructLayout(LayoutKind.Sequential, Size = 128)]
    struct Counter
    {
        public long Active;
    }

    struct Job
    {
        public float* Target;
        public nint TargetStride;
        public bool Stream;

        /// <summary>What decides which elements stay; null for the results themselves.</summary>
        public float* Gate;
        public nint GateStride;

        /// <summary>What a block's end will touch.</summary>
        public float* Ahead;
        public nint AheadStride;

        /// <summary>[L], in double.</summary>
        public double* Sums;

        /// <summary>Per worker: a block, token-major.</summary>
        public float* Turned;
        public Counter* Counters;
    }
}
