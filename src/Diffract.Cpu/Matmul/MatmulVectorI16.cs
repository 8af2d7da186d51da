using System.Numerics;
using System.Runtime.CompilerServices;

namespace Diffract.Cpu.Matmul;

/// <summary>Four rows by two vectors of 16-bit integers, widened in place: no faster than float32, there for completeness.</summary>
readonly unsafe struct MatmulVectorI16 : ITileI16
{
    public static int Rows => 4;

    public static int Columns => 2 * Vector<int>.Count;

    public static int Depth => 256;

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    public static void Run(nint depth, int* a, nint lda, int rows, int* b, int* c, nint ldc, bool accumulate)
    {
        int* a0 = a;
        int* c0 = c;
        int* a1 = a0 + (rows > 1 ? lda : 0);
        int* c1 = c0 + (rows > 1 ? ldc : 0);
        int* a2 = a1 + (rows > 2 ? lda : 0);
        int* c2 = c1 + (rows > 2 ? ldc : 0);
        int* a3 = a2 + (rows > 3 ? lda : 0);
        int* c3 = c2 + (rows > 3 ? ldc : 0);
        Vector<int> s00 = Vector<int>.Zero;
        Vector<int> s01 = Vector<int>.Zero;
        Vector<int> s10 = Vector<int>.Zero;
        Vector<int> s11 = Vector<int>.Zero;
        Vector<int> s20 = Vector<int>.Zero;
        Vector<int> s21 = Vector<int>.Zero;
        Vector<int> s30 = Vector<int>.Zero;
        Vector<int> s31 = Vector<int>.Zero;
        nint w = Vector<int>.Count;
        if (accumulate)
        {
            s00 = Vector.Load(c0);
            s01 = Vector.Load(c0 + w);
            s10 = Vector.Load(c1);
            s11 = Vector.Load(c1 + w);
            s20 = Vector.Load(c2);
            s21 = Vector.Load(c2 + w);
            s30 = Vector.Load(c3);
            s31 = Vector.Load(c3 + w);
        }

        for (nint k = 0; k < depth; k++)
        {
            Vector<int> b0 = Vector.Load(b);
            Vector<int> b1 = Vector.Load(b + w);
            Vector<int> low0 = (b0 << 16) >> 16, high0 = b0 >> 16;
            Vector<int> low1 = (b1 << 16) >> 16, high1 = b1 >> 16;
            Vector<int> x = Vector.Create((int)(short)a0[k]);
            Vector<int> y = Vector.Create(a0[k] >> 16);
            s00 += (x * low0) + (y * high0);
            s01 += (x * low1) + (y * high1);
            x = Vector.Create((int)(short)a1[k]);
            y = Vector.Create(a1[k] >> 16);
            s10 += (x * low0) + (y * high0);
            s11 += (x * low1) + (y * high1);
            x = Vector.Create((int)(short)a2[k]);
            y = Vector.Create(a2[k] >> 16);
            s20 += (x * low0) + (y * high0);
            s21 += (x * low1) + (y * high1);
            x = Vector.Create((int)(short)a3[k]);
            y = Vector.Create(a3[k] >> 16);
            s30 += (x * low0) + (y * high0);
            s31 += (x * low1) + (y * high1);
            b += 2 * w;
        }

        s00.Store(c0);
        s01.Store(c0 + w);
        s10.Store(c1);
        s11.Store(c1 + w);
        s20.Store(c2);
        s21.Store(c2 + w);
        s30.Store(c3);
        s31.Store(c3 + w);
    }
}
