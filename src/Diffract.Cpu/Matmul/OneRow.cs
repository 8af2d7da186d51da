using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Diffract.Compute.Buffers;

namespace Diffract.Cpu.Matmul;

/// <summary>
/// One row by sixteen rows of weights that never leave the registers: turned and widened there as in <see cref="WeightPanels"/>, eight by eight, and multiplied at once. Two chains of eight
/// columns are enough, since memory is slower. Chains and their order are those of every <see cref="ITile"/>. Needs AVX2 and FMA.
/// <para>
/// The processor itself notices sixteen rows that are read from end to end and fetches them far better than any request from here; only where it has to begin anew, at the next sixteen rows,
/// is it helped. The second eight rows lag one line behind the first: rows of weights are often a multiple of 4 KiB apart and then share the eight places of one set of the first-level cache.
/// </para>
/// </summary>
static unsafe class OneRow
{
    /// <summary>Rows of weights, columns of the result.</summary>
    public const int Columns = 16;

    const int Line = 64;

    /// <summary>Lines of each of the next rows that are asked for ahead, during as many lines of these.</summary>
    const int Lead = 4;

    public static bool IsSupported => Avx2.IsSupported && Fma.IsSupported;

    /// <summary>c[j] (+)= Σ_k x[k]·w[j][k] for sixteen rows of w, <paramref name="stride"/> bytes apart; the sixteen rows from <paramref name="next"/> on, as far apart, are read afterwards.</summary>
    public static void Run(int depth, float* x, byte* w, nint stride, ElementType type, float* c, bool accumulate, byte* next)
    {
        if (!accumulate)
        {
            Vector256<float>.Zero.Store(c);
            Vector256<float>.Zero.Store(c + 8);
        }

        bool half = type == ElementType.BFloat16;
        int whole = half ? depth & ~31 : depth & ~15;
        if (whole > 0)
        {
            int lines = whole * (half ? 2 : 4) / Line;
            if (half)
            {
                BFloat16Lines(lines, x, w, stride, c, next);
            }
            else
            {
                SingleLines(lines, x, w, stride, c, next);
            }
        }

        for (int j = 0; j < Columns && whole < depth; j++)
        {
            byte* row = w + j * stride;
            float sum = c[j];
            for (int k = whole; k < depth; k++)
            {
                sum = MathF.FusedMultiplyAdd(x[k], half ? BFloat16.ToSingle(((ushort*)row)[k]) : ((float*)row)[k], sum);
            }

            c[j] = sum;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    static void BFloat16Lines(int lines, float* x, byte* w, nint stride, float* c, byte* next)
    {
        Vector256<float> s0 = Vector256.Load(c), s1 = Vector256.Load(c + 8);
        byte* second = w + 8 * stride;
        for (int part = 0; part < 4; part++)
        {
            s0 = EightBFloat16(x + 8 * part, w + 16 * part, stride, s0);
        }

        for (int line = 1; line < lines; line++)
        {
            x += 32;
            w += Line;
            if (line >= lines - Lead)
            {
                Fetch(next, stride);
                next += Line;
            }

            for (int part = 0; part < 4; part++)
            {
                s0 = EightBFloat16(x, w + 16 * part, stride, s0);
                s1 = EightBFloat16(x - 32, second + 16 * part, stride, s1);
                x += 8;
            }

            x -= 32;
            second += Line;
        }

        for (int part = 0; part < 4; part++)
        {
            s1 = EightBFloat16(x + 8 * part, second + 16 * part, stride, s1);
        }

        s0.Store(c);
        s1.Store(c + 8);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    static void SingleLines(int lines, float* x, byte* w, nint stride, float* c, byte* next)
    {
        Vector256<float> s0 = Vector256.Load(c), s1 = Vector256.Load(c + 8);
        byte* second = w + 8 * stride;
        for (int part = 0; part < 4; part++)
        {
            s0 = Four(x + 4 * part, w + 16 * part, stride, s0);
        }

        for (int line = 1; line < lines; line++)
        {
            x += 16;
            w += Line;
            if (line >= lines - Lead)
            {
                Fetch(next, stride);
                next += Line;
            }

            for (int part = 0; part < 4; part++)
            {
                s0 = Four(x, w + 16 * part, stride, s0);
                s1 = Four(x - 16, second + 16 * part, stride, s1);
                x += 4;
            }

            x -= 16;
            second += Line;
        }

        for (int part = 0; part < 4; part++)
        {
            s1 = Four(x + 4 * part, second + 16 * part, stride, s1);
        }

        s0.Store(c);
        s1.Store(c + 8);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static Vector256<float> EightBFloat16(float* x, byte* w, nint stride, Vector256<float> sum)
    {
        Vector256<int> upper = Vector256.Create(unchecked((int)0xFFFF0000));
        WeightPanels.Turn(w, stride, out Vector256<int> p0, out Vector256<int> p1, out Vector256<int> p2, out Vector256<int> p3);
        sum = Vector256.FusedMultiplyAdd(Vector256.Create(x[0]), (p0 << 16).AsSingle(), sum);
        sum = Vector256.FusedMultiplyAdd(Vector256.Create(x[1]), (p0 & upper).AsSingle(), sum);
        sum = Vector256.FusedMultiplyAdd(Vector256.Create(x[2]), (p1 << 16).AsSingle(), sum);
        sum = Vector256.FusedMultiplyAdd(Vector256.Create(x[3]), (p1 & upper).AsSingle(), sum);
        sum = Vector256.FusedMultiplyAdd(Vector256.Create(x[4]), (p2 << 16).AsSingle(), sum);
        sum = Vector256.FusedMultiplyAdd(Vector256.Create(x[5]), (p2 & upper).AsSingle(), sum);
        sum = Vector256.FusedMultiplyAdd(Vector256.Create(x[6]), (p3 << 16).AsSingle(), sum);
        return Vector256.FusedMultiplyAdd(Vector256.Create(x[7]), (p3 & upper).AsSingle(), sum);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static Vector256<float> Four(float* x, byte* w, nint stride, Vector256<float> sum)
    {
        WeightPanels.Turn(w, stride, out Vector256<int> p0, out Vector256<int> p1, out Vector256<int> p2, out Vector256<int> p3);
        sum = Vector256.FusedMultiplyAdd(Vector256.Create(x[0]), p0.AsSingle(), sum);
        sum = Vector256.FusedMultiplyAdd(Vector256.Create(x[1]), p1.AsSingle(), sum);
        sum = Vector256.FusedMultiplyAdd(Vector256.Create(x[2]), p2.AsSingle(), sum);
        return Vector256.FusedMultiplyAdd(Vector256.Create(x[3]), p3.AsSingle(), sum);
    }

    /// <summary>A line of each of sixteen rows.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static void Fetch(byte* rows, nint stride)
    {
        byte* ninth = rows + 8 * stride;
        for (int i = 0; i < 8; i++)
        {
            Sse.Prefetch1(rows);
            Sse.Prefetch1(ninth);
            rows += stride;
            ninth += stride;
        }
    }
}
