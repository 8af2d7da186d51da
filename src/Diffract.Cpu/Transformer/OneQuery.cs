using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Cpu.Matmul;

namespace Diffract.Cpu.Transformer;

/// <summary>
/// Attention of sequences with one query each, the steps of a generation: keys and values are read where they lie, since packing them would cost more than using them once. A task is a few of
/// the heads that share one key-value head. Chains, their order and the lanes of the softmax are those of <see cref="Attention"/>: same bits. Needs what <see cref="OneRow"/> needs.
/// </summary>
static unsafe class OneQuery
{
    /// <summary>Heads of a task.</summary>
    public const int Heads = 4;

    /// <summary>Keys whose values stay in the caches for all heads of a task.</summary>
    const int KeyBlock = 64;

    /// <summary>Columns of values whose sums stay in registers.</summary>
    const int Wide = 64;

    /// <summary>Tasks for each key-value head.</summary>
    public static int Parts(in AttentionShape shape) => (shape.Heads / shape.KeyValueHeads + Heads - 1) / Heads;

    public static void Task(void* state, int task, int worker)
    {
        Attention.Job* job = (Attention.Job*)state;
        AttentionShape shape = job->Shape;
        int group = shape.Heads / shape.KeyValueHeads, parts = Parts(shape), width = shape.HeadWidth;
        int part = task % parts, keyHead = task / parts % shape.KeyValueHeads;
        SequenceSpan span = job->Spans[task / parts / shape.KeyValueHeads];
        if (span.Length == 0)
        {
            return;
        }

        int low = Attention.FirstKey(span.KeyLength - 1, shape.Window), firstKey = low & ~7, keys = span.KeyLength - firstKey;
        int head = keyHead * group + part * Heads, heads = Math.Min(Heads, (keyHead + 1) * group - head);
        float* scores = job->Scratch + worker * job->PerWorker;
        float* q = job->Q + span.QueryRow * job->QStride + head * width;
        float* k = job->K + (span.KeyRow + firstKey) * job->KStride + keyHead * width;
        float* v = job->V + (span.KeyRow + firstKey) * job->VStride + keyHead * width;
        float* result = job->Out + span.QueryRow * job->OutStride + head * width;
        Scores(q, heads, width, k, (nint)job->KStride, keys, scores, job->Keys);
        float* inverse = stackalloc float[Heads];
        for (int h = 0; h < heads; h++)
        {
            inverse[h] = 1 / Attention.Softmax(scores + (nint)h * job->Keys, low - firstKey, keys - 1, keys, shape.Scale, shape.SoftCap);
        }

        for (int j = 0; j < keys; j += KeyBlock)
        {
            int some = Math.Min(KeyBlock, keys - j);
            for (int h = 0; h < heads; h++)
            {
                Mix(some, scores + (nint)h * job->Keys + j, v + j * (nint)job->VStride, (nint)job->VStride, width, result + h * width, j > 0);
            }
        }

        for (int h = 0; h < heads; h++)
        {
            Attention.Scale(result + h * width, inverse[h], width, result + h * width);
        }
    }

    /// <summary>scores[h][j] = q_h·k_j, sixteen keys at a time; the last sixteen may overlap those before.</summary>
    static void Scores(float* q, int heads, int width, float* k, nint stride, int keys, float* scores, nint scoreStride)
    {
        if (keys < OneRow.Columns)
        {
            for (int j = 0; j < keys; j++)
            {
                for (int h = 0; h < heads; h++)
                {
                    scores[h * scoreStride + j] = Dot(q + h * width, k + j * stride, width);
                }
            }

            return;
        }

        for (int j = 0; j < keys; j += OneRow.Columns)
        {
            int at = Math.Min(j, keys - OneRow.Columns);
            float* rows = k + at * stride;
            for (int h = 0; h < heads; h++)
            {
                byte* next = (byte*)(rows + OneRow.Columns * stride);
                OneRow.Run(width, q + h * width, (byte*)rows, stride * sizeof(float), ElementType.Float32, scores + h * scoreStride + at, accumulate: false, next);
            }
        }
    }

    static float Dot(float* a, float* b, int width)
    {
        float sum = 0;
        for (int d = 0; d < width; d++)
        {
            sum = MathF.FusedMultiplyAdd(a[d], b[d], sum);
        }

        return sum;
    }

    /// <summary>sums[d] (+)= Σ_j p[j]·v[j][d].</summary>
    static void Mix(int keys, float* p, float* v, nint stride, int width, float* sums, bool accumulate)
    {
        if (!accumulate)
        {
            new Span<float>(sums, width).Clear();
        }

        int d = 0;
        for (; d <= width - Wide; d += Wide)
        {
            MixWide(keys, p, v + d, stride, sums + d);
        }

        for (; d <= width - 8; d += 8)
        {
            Vector256<float> sum = Vector256.Load(sums + d);
            for (int j = 0; j < keys; j++)
            {
                sum = Vector256.FusedMultiplyAdd(Vector256.Create(p[j]), Vector256.Load(v + j * stride + d), sum);
            }

            sum.Store(sums + d);
        }

        for (; d < width; d++)
        {
            for (int j = 0; j < keys; j++)
            {
                sums[d] = MathF.FusedMultiplyAdd(p[j], v[j * stride + d], sums[d]);
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    static void MixWide(int keys, float* p, float* v, nint stride, float* sums)
    {
        Vector256<float> s0 = Vector256.Load(sums), s1 = Vector256.Load(sums + 8), s2 = Vector256.Load(sums + 16), s3 = Vector256.Load(sums + 24);
        Vector256<float> s4 = Vector256.Load(sums + 32), s5 = Vector256.Load(sums + 40), s6 = Vector256.Load(sums + 48), s7 = Vector256.Load(sums + 56);
        for (int j = 0; j < keys; j++)
        {
            Vector256<float> x = Vector256.Create(p[j]);
            s0 = Vector256.FusedMultiplyAdd(x, Vector256.Load(v), s0);
            s1 = Vector256.FusedMultiplyAdd(x, Vector256.Load(v + 8), s1);
            s2 = Vector256.FusedMultiplyAdd(x, Vector256.Load(v + 16), s2);
            s3 = Vector256.FusedMultiplyAdd(x, Vector256.Load(v + 24), s3);
            s4 = Vector256.FusedMultiplyAdd(x, Vector256.Load(v + 32), s4);
            s5 = Vector256.FusedMultiplyAdd(x, Vector256.Load(v + 40), s5);
            s6 = Vector256.FusedMultiplyAdd(x, Vector256.Load(v + 48), s6);
            s7 = Vector256.FusedMultiplyAdd(x, Vector256.Load(v + 56), s7);
            v += stride;
        }

        s0.Store(sums);
        s1.Store(sums + 8);
        s2.Store(sums + 16);
        s3.Store(sums + 24);
        s4.Store(sums + 32);
        s5.Store(sums + 40);
        s6.Store(sums + 48);
        s7.Store(sums + 56);
    }
}
