using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Diffract.Compute.Buffers;

namespace Diffract.Cpu.Matmul;

/// <summary>
/// Rows of a weight matrix, float32 or bfloat16, turned and widened into panels [k][columns] of float32. Eight rows pass through registers at a time; of bfloat16 two neighbours in k
/// travel as one 32-bit element and part at the end, one by a shift and one by a mask.
/// </summary>
static unsafe class WeightPanels
{
    /// <summary>Bytes of a row that are asked for at a time.</summary>
    const int Line = 64;

    /// <summary>panel[k][j] = w[j][k] for <paramref name="rows"/> rows and <paramref name="depth"/> steps of k; columns beyond the rows become 0.</summary>
    /// <param name="source">First element of the first row.</param>
    /// <param name="stride">Bytes from row to row.</param>
    /// <param name="type">float32 or bfloat16.</param>
    /// <param name="rows">Rows that exist, at most <paramref name="columns"/>.</param>
    /// <param name="depth">Steps of k.</param>
    /// <param name="columns">Width of the panel.</param>
    /// <param name="panel">Aligned to 32 bytes.</param>
    /// <param name="ahead">What will be read later: half as many bytes from here on are fetched meanwhile. Or null.</param>
    public static void FromRows(byte* source, nint stride, ElementType type, int rows, int depth, int columns, float* panel, byte* ahead)
    {
        if (rows < columns)
        {
            new Span<float>(panel, checked(depth * columns)).Clear();
        }

        int done = 0;
        if (Avx2.IsSupported)
        {
            for (; done <= rows - 8; done += 8)
            {
                byte* next = ahead == null ? null : ahead + done * (nint)depth * type.Size() / 2;
                if (type == ElementType.BFloat16)
                {
                    EightBFloat16(source + done * stride, stride, depth, panel + done, columns, next);
                }
                else
                {
                    Eight(source + done * stride, stride, depth, panel + done, columns, next);
                }
            }
        }

        for (; done < rows; done++)
        {
            One(source + done * stride, type, depth, panel + done, columns);
        }
    }

    static void One(byte* source, ElementType type, int depth, float* target, nint columns)
    {
        for (int k = 0; k < depth; k++)
        {
            *target = type == ElementType.BFloat16 ? BFloat16.ToSingle(((ushort*)source)[k]) : ((float*)source)[k];
            target += columns;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    static void EightBFloat16(byte* source, nint stride, int depth, float* target, nint columns, byte* ahead)
    {
        int k = 0;
        for (; k <= depth - 32; k += 32)
        {
            if (ahead != null)
            {
                Fetch(ahead);
                ahead += 4 * Line;
            }

            PairsBFloat16(source, stride, target, columns);
            PairsBFloat16(source + 16, stride, target + 8 * columns, columns);
            PairsBFloat16(source + 32, stride, target + 16 * columns, columns);
            PairsBFloat16(source + 48, stride, target + 24 * columns, columns);
            source += 64;
            target += 32 * columns;
        }

        for (; k <= depth - 8; k += 8)
        {
            PairsBFloat16(source, stride, target, columns);
            source += 16;
            target += 8 * columns;
        }

        for (; k < depth; k++)
        {
            for (int i = 0; i < 8; i++)
            {
                target[i] = BFloat16.ToSingle(*(ushort*)(source + i * stride));
            }

            source += 2;
            target += columns;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    static void Eight(byte* source, nint stride, int depth, float* target, nint columns, byte* ahead)
    {
        int k = 0;
        for (; k <= depth - 16; k += 16)
        {
            if (ahead != null)
            {
                Fetch(ahead);
                ahead += 4 * Line;
            }

            Four(source, stride, target, columns);
            Four(source + 16, stride, target + 4 * columns, columns);
            Four(source + 32, stride, target + 8 * columns, columns);
            Four(source + 48, stride, target + 12 * columns, columns);
            source += 64;
            target += 16 * columns;
        }

        for (; k < depth; k++)
        {
            for (int i = 0; i < 8; i++)
            {
                target[i] = *(float*)(source + i * stride);
            }

            source += 4;
            target += columns;
        }
    }

    /// <summary>Four steps of k of eight rows: the rows i and i + 4 side by side in one register, then four by four.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static void Four(byte* source, nint stride, float* target, nint columns)
    {
        Vector256<int> p0, p1, p2, p3;
        Turn(source, stride, out p0, out p1, out p2, out p3);
        p0.AsSingle().Store(target);
        p1.AsSingle().Store(target + columns);
        p2.AsSingle().Store(target + 2 * columns);
        p3.AsSingle().Store(target + 3 * columns);
    }

    /// <summary>Eight steps of k of eight rows.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static void PairsBFloat16(byte* source, nint stride, float* target, nint columns)
    {
        Vector256<int> upper = Vector256.Create(unchecked((int)0xFFFF0000));
        Vector256<int> p0, p1, p2, p3;
        Turn(source, stride, out p0, out p1, out p2, out p3);
        (p0 << 16).AsSingle().Store(target);
        (p0 & upper).AsSingle().Store(target + columns);
        (p1 << 16).AsSingle().Store(target + 2 * columns);
        (p1 & upper).AsSingle().Store(target + 3 * columns);
        (p2 << 16).AsSingle().Store(target + 4 * columns);
        (p2 & upper).AsSingle().Store(target + 5 * columns);
        (p3 << 16).AsSingle().Store(target + 6 * columns);
        (p3 & upper).AsSingle().Store(target + 7 * columns);
    }

    /// <summary>p_j = the j-th 32-bit element of each of eight rows, j = 0 .. 3.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Turn(byte* source, nint stride, out Vector256<int> p0, out Vector256<int> p1, out Vector256<int> p2, out Vector256<int> p3)
    {
        byte* third = source + 2 * stride, fifth = source + 4 * stride, seventh = third + 4 * stride;
        Vector256<int> r0 = Avx.InsertVector128(Vector128.Load((int*)source).ToVector256Unsafe(), Vector128.Load((int*)fifth), 1);
        Vector256<int> r1 = Avx.InsertVector128(Vector128.Load((int*)(source + stride)).ToVector256Unsafe(), Vector128.Load((int*)(fifth + stride)), 1);
        Vector256<int> r2 = Avx.InsertVector128(Vector128.Load((int*)third).ToVector256Unsafe(), Vector128.Load((int*)seventh), 1);
        Vector256<int> r3 = Avx.InsertVector128(Vector128.Load((int*)(third + stride)).ToVector256Unsafe(), Vector128.Load((int*)(seventh + stride)), 1);
        Vector256<long> low01 = Avx2.UnpackLow(r0, r1).AsInt64(), low23 = Avx2.UnpackLow(r2, r3).AsInt64();
        Vector256<long> high01 = Avx2.UnpackHigh(r0, r1).AsInt64(), high23 = Avx2.UnpackHigh(r2, r3).AsInt64();
        p0 = Avx2.UnpackLow(low01, low23).AsInt32();
        p1 = Avx2.UnpackHigh(low01, low23).AsInt32();
        p2 = Avx2.UnpackLow(high01, high23).AsInt32();
        p3 = Avx2.UnpackHigh(high01, high23).AsInt32();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static void Fetch(byte* ahead)
    {
        Sse.Prefetch1(ahead);
        Sse.Prefetch1(ahead + Line);
        Sse.Prefetch1(ahead + 2 * Line);
        Sse.Prefetch1(ahead + 3 * Line);
    }
}
