using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Diffract.Compute.Buffers;

namespace Diffract.Cpu.Matmul;

/// <summary>
/// One row by sixteen rows of weights that never leave the registers: turned and widened there as in <see cref="WeightPanels"/>, eight by eight, and multiplied at once. Two chains of eight
/// columns are enough, since memory is slower. Chains and their order are those of every <see cref="ITile"/>. Needs AVX2 and FMA.
/// </summary>
static unsafe class OneRow
{
    /// <summary>Rows of weights, columns of the result.</summary>
    public const int Columns = 16;

    const int Line = 64;

    public static bool IsSupported => Avx2.IsSupported && Fma.IsSupported;

    /// <summary>c[j] (+)= Σ_k x[k]·w[j][k] for sixteen rows of w, <paramref name="stride"/> bytes apart; as many bytes from <paramref name="ahead"/> on are fetched meanwhile.</summary>
    public static void Run(int depth, float* x, byte* w, nint stride, ElementType type, float* c, bool accumulate, byte* ahead)
    {
        if (!accumulate)
        {
            Vector256<float>.Zero.Store(c);
            Vector256<float>.Zero.Store(c + 8);
        }

        bool half = type == ElementType.BFloat16;
        int whole = half ? depth & ~31 : depth & ~15;
        if (half)
        {
            BFloat16Lines(whole, x, w, stride, c, ahead);
        }
        else
        {
            SingleLines(whole, x, w, stride, c, ahead);
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
    static void BFloat16Lines(int depth, float* x, byte* w, nint stride, float* c, byte* ahead)
    {
        Vector256<float> s0 = Vector256.Load(c), s1 = Vector256.Load(c + 8);
        byte* second = w + 8 * stride;
        for (int k = 0; k < depth; k += 32)
        {
            Fetch(ahead);
            for (int part = 0; part < Line; part += 16)
            {
                s0 = EightBFloat16(x, w + part, stride, s0);
                s1 = EightBFloat16(x, second + part, stride, s1);
                x += 8;
            }

            w += Line;
            second += Line;
            ahead += Columns * Line;
        }

        s0.Store(c);
        s1.Store(c + 8);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    static void SingleLines(int depth, float* x, byte* w, nint stride, float* c, byte* ahead)
    {
        Vector256<float> s0 = Vector256.Load(c), s1 = Vector256.Load(c + 8);
        byte* second = w + 8 * stride;
        for (int k = 0; k < depth; k += 16)
        {
            Fetch(ahead);
            for (int part = 0; part < Line; part += 16)
            {
                s0 = Four(x, w + part, stride, s0);
                s1 = Four(x, second + part, stride, s1);
                x += 4;
            }

            w += Line;
            second += Line;
            ahead += Columns * Line;
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

    /// <summary>Sixteen lines.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static void Fetch(byte* ahead)
    {
        for (int line = 0; line < Columns; line++)
        {
            Sse.Prefetch1(ahead + line * Line);
        }
    }
}
