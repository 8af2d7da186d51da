using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Cpu.Matmul;
using Diffract.Cpu.Threads;

namespace Diffract.Cpu.Transformer;

/// <summary>
/// Causal attention: a task is a block of queries of one sequence, for the heads that share one key-value head. Its keys and values are packed once; then, a few queries at a time,
/// scores come from the matrix tile, are capped and exponentiated in place, and meet the values in the tile again. Lanes and order of every sum go by the key's number in its
/// sequence, and a key out of sight adds an exact 0: so a query gives the same bits alone, with a cache, or in any batch. Single queries do without packing (<see cref="OneQuery"/>).
/// </summary>
sealed unsafe class Attention(CpuPath path, WorkerPool pool) : IDisposable
{
    /// <summary>Queries of a task: enough that packing their keys is small beside using them.</summary>
    const int BlockQueries = 96;

    /// <summary>The most rows of any tile.</summary>
    const int MaxTileRows = 8;

    /// <summary>The widest panel of any tile.</summary>
    const int MaxColumns = 48;

    /// <summary>The largest cap at which e^score and a sum of them stay far from the ends of single precision.</summary>
    const float SafeCap = 60;

    HostBuffer _scratch = new(ElementType.Float32, 16);

    public void Run(Matrix q_TD, Matrix k_SD, Matrix v_SD, ReadOnlySpan<SequenceSpan> sequences, in AttentionShape shape, Matrix out_TD)
    {
        int longest = 0, keys = 0;
        foreach (SequenceSpan s in sequences)
        {
            longest = Math.Max(longest, s.Length);
            int seen = shape.Window > 0 ? Math.Min(s.KeyLength, shape.Window + BlockQueries) : s.KeyLength;
            keys = Math.Max(keys, seen + 8 + MaxColumns);
        }

        // Steps of a generation.
        bool single = longest == 1 && OneRow.IsSupported;
        keys = single ? (int)Round(keys) : keys;
        int widthPadded = shape.HeadWidth + MaxColumns;
        long packed = Round((long)keys * shape.HeadWidth) + Round((long)keys * widthPadded) + Round((long)MaxTileRows * keys) + Round((long)MaxTileRows * widthPadded);
        long perWorker = single ? (long)OneQuery.Heads * keys : packed;
        Scratch.Grow(ref _scratch, perWorker * pool.Threads);

        fixed (SequenceSpan* spans = sequences)
        {
            Job job = new()
            {
                Q = q_TD.Floats,
                QStride = q_TD.Stride,
                K = k_SD.Floats,
                KStride = k_SD.Stride,
                V = v_SD.Floats,
                VStride = v_SD.Stride,
                Out = out_TD.Floats,
                OutStride = out_TD.Stride,
                Spans = spans,
                Shape = shape,
                Blocks = (longest + BlockQueries - 1) / BlockQueries,
                Keys = keys,
                Scratch = _scratch.Floats,
                PerWorker = perWorker,
            };
            if (single)
            {
                pool.Run(sequences.Length * shape.KeyValueHeads * OneQuery.Parts(shape), &OneQuery.Task, &job);
                return;
            }

            int tasks = sequences.Length * shape.KeyValueHeads * job.Blocks;
            switch (path)
            {
                case CpuPath.Avx512:
                    pool.Run(tasks, &Task<MatmulAvx512F32>, &job);
                    break;
                case CpuPath.Avx2:
                    pool.Run(tasks, &Task<MatmulAvx2F32>, &job);
                    break;
                default:
                    pool.Run(tasks, &Task<MatmulVectorF32>, &job);
                    break;
            }
        }
    }

    public void Dispose() => _scratch.Dispose();

    static void Task<T>(void* state, int task, int worker)
        where T : ITile
    {
        Job* job = (Job*)state;
        int block = task % job->Blocks, rest = task / job->Blocks;
        int keyHead = rest % job->Shape.KeyValueHeads;
        SequenceSpan span = job->Spans[rest / job->Shape.KeyValueHeads];
        int first = block * BlockQueries, end = Math.Min(span.Length, first + BlockQueries);
        if (first >= end)
        {
            return;
        }

        int width = job->Shape.HeadWidth, past = span.KeyLength - span.Length;
        // Multiples of eight, so that a key's lane does not depend on the block.
        int firstKey = FirstKey(past + first, job->Shape.Window) & ~7;
        int keys = past + end - firstKey;
        int panels = (keys + T.Columns - 1) / T.Columns;
        float* packedKeys = job->Scratch + worker * job->PerWorker;
        float* packedValues = packedKeys + Round((long)job->Keys * width);
        float* k = job->K + (span.KeyRow + firstKey) * job->KStride + keyHead * width;
        float* v = job->V + (span.KeyRow + firstKey) * job->VStride + keyHead * width;
        for (int p = 0; p < panels; p++)
        {
            int rows = Math.Min(T.Columns, keys - p * T.Columns);
            MatmulPanels.FromRows(k + (long)p * T.Columns * job->KStride, (nint)job->KStride, rows, width, T.Columns, packedKeys + (long)p * T.Columns * width);
        }

        for (int d = 0; d < width; d += T.Columns)
        {
            MatmulPanels.FromColumns(v + d, (nint)job->VStride, Math.Min(T.Columns, width - d), keys, T.Columns, packedValues + (long)d * keys);
        }

        int group = job->Shape.Heads / job->Shape.KeyValueHeads;
        for (int head = keyHead * group; head < (keyHead + 1) * group; head++)
        {
            for (int i = first; i < end; i += T.Rows)
            {
                Tile<T>(job, span, head, i, Math.Min(T.Rows, end - i), firstKey, keys, packedKeys, packedValues);
            }
        }
    }

    /// <summary>A few queries of one head against the packed keys and values.</summary>
    static void Tile<T>(Job* job, SequenceSpan span, int head, int i, int rows, int firstKey, int keys, float* packedKeys, float* packedValues)
        where T : ITile
    {
        int width = job->Shape.HeadWidth, window = job->Shape.Window, past = span.KeyLength - span.Length;
        float* scores = packedValues + Round((long)job->Keys * (width + MaxColumns));
        float* mixed = scores + Round((long)MaxTileRows * job->Keys);
        nint scoreStride = job->Keys, mixedStride = width + MaxColumns;

        int firstPanel = (FirstKey(past + i, window) - firstKey) / T.Columns;
        int start = firstPanel * T.Columns;
        int used = past + i + rows - firstKey - start;
        float* q = job->Q + (span.QueryRow + i) * job->QStride + head * width;
        for (int at = 0; at < used; at += T.Columns)
        {
            T.Run(width, q, (nint)job->QStride, rows, packedKeys + (long)(start + at) * width, scores + at, scoreStride, accumulate: false);
        }

        float* inverse = stackalloc float[MaxTileRows];
        for (int r = 0; r < rows; r++)
        {
            int last = past + i + r;
            inverse[r] = 1 / Softmax(scores + r * scoreStride, FirstKey(last, window) - firstKey - start, last - firstKey - start, used, job->Shape.Scale, job->Shape.SoftCap);
        }

        for (int d = 0; d < width; d += T.Columns)
        {
            T.Run(used, scores, scoreStride, rows, packedValues + (long)d * keys + (long)start * T.Columns, mixed + d, mixedStride, accumulate: false);
        }

        float* target = job->Out + (span.QueryRow + i) * job->OutStride + head * width;
        for (int r = 0; r < rows; r++)
        {
            Scale(mixed + r * mixedStride, inverse[r], width, target + r * job->OutStride);
        }
    }

    /// <summary>
    /// Turns scores into e^(score - largest) between <paramref name="low"/> and <paramref name="high"/> (both included), zeros elsewhere up to <paramref name="used"/>; returns their sum.
    /// Scores under a cap need no largest: they cannot overflow.
    /// </summary>
    public static float Softmax(float* s, int low, int high, int used, float scale, float cap)
    {
        int begin = low & ~7;
        float factor = cap > 0 ? scale / cap : scale;
        Vector256<float> largest = Vector256<float>.Zero, sum = Vector256<float>.Zero;
        if (cap is not (> 0 and <= SafeCap))
        {
            largest = Vector256.Create(float.NegativeInfinity);
            for (int j = begin; j <= high; j += 8)
            {
                Vector256<float> x = Score(s + j, factor, cap, j, low, high);
                largest = Vector256.MaxNative(largest, x);
                x.Store(s + j);
            }

            largest = Vector256.Create(VectorMath.Max(largest));
            // Scaled and capped already.
            (factor, cap) = (1, 0);
        }

        int end = begin;
        for (; end <= high; end += 8)
        {
            Vector256<float> e = VectorMath.Exp(Score(s + end, factor, cap, end, low, high) - largest);
            sum += e;
            e.Store(s + end);
        }

        new Span<float>(s, begin).Clear();
        if (end < used)
        {
            new Span<float>(s + end, used - end).Clear();
        }

        return VectorMath.Sum(sum);
    }

    /// <summary>Eight scores, times a factor (scale, or scale / cap) and capped; those outside low .. high become -∞.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static Vector256<float> Score(float* s, float factor, float cap, int j, int low, int high)
    {
        Vector256<float> x = Vector256.Load(s) * Vector256.Create(factor);
        x = cap > 0 ? VectorMath.Tanh(x) * Vector256.Create(cap) : x;
        Vector256<int> key = Vector256.Create(0, 1, 2, 3, 4, 5, 6, 7) + Vector256.Create(j);
        Vector256<float> hidden = (Vector256.LessThan(key, Vector256.Create(low)) | Vector256.GreaterThan(key, Vector256.Create(high))).AsSingle();
        return Vector256.ConditionalSelect(hidden, Vector256.Create(float.NegativeInfinity), x);
    }

    public static void Scale(float* x, float factor, int count, float* y)
    {
        Vector256<float> f = Vector256.Create(factor);
        int d = 0;
        for (; d <= count - 8; d += 8)
        {
            (Vector256.Load(x + d) * f).Store(y + d);
        }

        for (; d < count; d++)
        {
            y[d] = x[d] * factor;
        }
    }

    public static int FirstKey(int position, int window) => window > 0 ? Math.Max(0, position - window + 1) : 0;

    /// <summary>Up to a multiple of 64 bytes.</summary>
    static long Round(long floats) => (floats + 15) & ~15L;

    public struct Job
    {
        public float* Q;
        public long QStride;
        public float* K;
        public long KStride;
        public float* V;
        public long VStride;
        public float* Out;
        public long OutStride;
        public SequenceSpan* Spans;
        public AttentionShape Shape;
        public int Blocks;
        public int Keys;
        public float* Scratch;
        public long PerWorker;
    }
}
