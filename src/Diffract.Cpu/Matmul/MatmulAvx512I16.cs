using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Diffract.Cpu.Matmul;

/// <summary>Eight rows by 48 columns of 16-bit integers in 24 512-bit accumulators; computes without AVX-512 too, slowly.</summary>
readonly unsafe struct MatmulAvx512I16 : ITileI16
{
    public static int Rows => 8;

    public static int Columns => 48;

    public static int Depth => 128;

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
        int* a4 = a3 + (rows > 4 ? lda : 0);
        int* c4 = c3 + (rows > 4 ? ldc : 0);
        int* a5 = a4 + (rows > 5 ? lda : 0);
        int* c5 = c4 + (rows > 5 ? ldc : 0);
        int* a6 = a5 + (rows > 6 ? lda : 0);
        int* c6 = c5 + (rows > 6 ? ldc : 0);
        int* a7 = a6 + (rows > 7 ? lda : 0);
        int* c7 = c6 + (rows > 7 ? ldc : 0);
        Vector512<int> s00 = Vector512<int>.Zero;
        Vector512<int> s01 = Vector512<int>.Zero;
        Vector512<int> s02 = Vector512<int>.Zero;
        Vector512<int> s10 = Vector512<int>.Zero;
        Vector512<int> s11 = Vector512<int>.Zero;
        Vector512<int> s12 = Vector512<int>.Zero;
        Vector512<int> s20 = Vector512<int>.Zero;
        Vector512<int> s21 = Vector512<int>.Zero;
        Vector512<int> s22 = Vector512<int>.Zero;
        Vector512<int> s30 = Vector512<int>.Zero;
        Vector512<int> s31 = Vector512<int>.Zero;
        Vector512<int> s32 = Vector512<int>.Zero;
        Vector512<int> s40 = Vector512<int>.Zero;
        Vector512<int> s41 = Vector512<int>.Zero;
        Vector512<int> s42 = Vector512<int>.Zero;
        Vector512<int> s50 = Vector512<int>.Zero;
        Vector512<int> s51 = Vector512<int>.Zero;
        Vector512<int> s52 = Vector512<int>.Zero;
        Vector512<int> s60 = Vector512<int>.Zero;
        Vector512<int> s61 = Vector512<int>.Zero;
        Vector512<int> s62 = Vector512<int>.Zero;
        Vector512<int> s70 = Vector512<int>.Zero;
        Vector512<int> s71 = Vector512<int>.Zero;
        Vector512<int> s72 = Vector512<int>.Zero;
        if (accumulate)
        {
            s00 = Vector512.Load(c0);
            s01 = Vector512.Load(c0 + 16);
            s02 = Vector512.Load(c0 + 32);
            s10 = Vector512.Load(c1);
            s11 = Vector512.Load(c1 + 16);
            s12 = Vector512.Load(c1 + 32);
            s20 = Vector512.Load(c2);
            s21 = Vector512.Load(c2 + 16);
            s22 = Vector512.Load(c2 + 32);
            s30 = Vector512.Load(c3);
            s31 = Vector512.Load(c3 + 16);
            s32 = Vector512.Load(c3 + 32);
            s40 = Vector512.Load(c4);
            s41 = Vector512.Load(c4 + 16);
            s42 = Vector512.Load(c4 + 32);
            s50 = Vector512.Load(c5);
            s51 = Vector512.Load(c5 + 16);
            s52 = Vector512.Load(c5 + 32);
            s60 = Vector512.Load(c6);
            s61 = Vector512.Load(c6 + 16);
            s62 = Vector512.Load(c6 + 32);
            s70 = Vector512.Load(c7);
            s71 = Vector512.Load(c7 + 16);
            s72 = Vector512.Load(c7 + 32);
        }

        for (nint k = 0; k < depth; k++)
        {
            Vector512<short> b0 = Vector512.LoadAligned((short*)b);
            Vector512<short> b1 = Vector512.LoadAligned((short*)(b + 16));
            Vector512<short> b2 = Vector512.LoadAligned((short*)(b + 32));
            Vector512<short> x = Vector512.Create(a0[k]).AsInt16();
            s00 += MultiplyAdd(x, b0);
            s01 += MultiplyAdd(x, b1);
            s02 += MultiplyAdd(x, b2);
            x = Vector512.Create(a1[k]).AsInt16();
            s10 += MultiplyAdd(x, b0);
            s11 += MultiplyAdd(x, b1);
            s12 += MultiplyAdd(x, b2);
            x = Vector512.Create(a2[k]).AsInt16();
            s20 += MultiplyAdd(x, b0);
            s21 += MultiplyAdd(x, b1);
            s22 += MultiplyAdd(x, b2);
            x = Vector512.Create(a3[k]).AsInt16();
            s30 += MultiplyAdd(x, b0);
            s31 += MultiplyAdd(x, b1);
            s32 += MultiplyAdd(x, b2);
            x = Vector512.Create(a4[k]).AsInt16();
            s40 += MultiplyAdd(x, b0);
            s41 += MultiplyAdd(x, b1);
            s42 += MultiplyAdd(x, b2);
            x = Vector512.Create(a5[k]).AsInt16();
            s50 += MultiplyAdd(x, b0);
            s51 += MultiplyAdd(x, b1);
            s52 += MultiplyAdd(x, b2);
            x = Vector512.Create(a6[k]).AsInt16();
            s60 += MultiplyAdd(x, b0);
            s61 += MultiplyAdd(x, b1);
            s62 += MultiplyAdd(x, b2);
            x = Vector512.Create(a7[k]).AsInt16();
            s70 += MultiplyAdd(x, b0);
            s71 += MultiplyAdd(x, b1);
            s72 += MultiplyAdd(x, b2);
            b += 48;
        }

        s00.Store(c0);
        s01.Store(c0 + 16);
        s02.Store(c0 + 32);
        s10.Store(c1);
        s11.Store(c1 + 16);
        s12.Store(c1 + 32);
        s20.Store(c2);
        s21.Store(c2 + 16);
        s22.Store(c2 + 32);
        s30.Store(c3);
        s31.Store(c3 + 16);
        s32.Store(c3 + 32);
        s40.Store(c4);
        s41.Store(c4 + 16);
        s42.Store(c4 + 32);
        s50.Store(c5);
        s51.Store(c5 + 16);
        s52.Store(c5 + 32);
        s60.Store(c6);
        s61.Store(c6 + 16);
        s62.Store(c6 + 32);
        s70.Store(c7);
        s71.Store(c7 + 16);
        s72.Store(c7 + 32);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static Vector512<int> MultiplyAdd(Vector512<short> x, Vector512<short> y)
    {
        if (Avx512BW.IsSupported)
        {
            return Avx512BW.MultiplyAddAdjacent(x, y);
        }

        // The low and the high number of each pair, widened in place.
        Vector512<int> a = x.AsInt32(), b = y.AsInt32();
        return (((a << 16) >> 16) * ((b << 16) >> 16)) + ((a >> 16) * (b >> 16));
    }
}
