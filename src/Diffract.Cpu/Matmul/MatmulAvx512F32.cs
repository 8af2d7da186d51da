using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Diffract.Cpu.Matmul;

/// <summary>Eight rows by forty-eight columns in twenty-four 512-bit accumulators; computes without AVX-512 too, slowly.</summary>
readonly unsafe struct MatmulAvx512F32 : ITile
{
    public static int Rows => 8;

    public static int Columns => 48;

    public static int Depth => 128;

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    public static void Run(nint depth, float* a, nint lda, int rows, float* b, float* c, nint ldc, bool accumulate, nint step = 1)
    {
        float* a0 = a;
        float* c0 = c;
        float* a1 = a0 + (rows > 1 ? lda : 0);
        float* c1 = c0 + (rows > 1 ? ldc : 0);
        float* a2 = a1 + (rows > 2 ? lda : 0);
        float* c2 = c1 + (rows > 2 ? ldc : 0);
        float* a3 = a2 + (rows > 3 ? lda : 0);
        float* c3 = c2 + (rows > 3 ? ldc : 0);
        float* a4 = a3 + (rows > 4 ? lda : 0);
        float* c4 = c3 + (rows > 4 ? ldc : 0);
        float* a5 = a4 + (rows > 5 ? lda : 0);
        float* c5 = c4 + (rows > 5 ? ldc : 0);
        float* a6 = a5 + (rows > 6 ? lda : 0);
        float* c6 = c5 + (rows > 6 ? ldc : 0);
        float* a7 = a6 + (rows > 7 ? lda : 0);
        float* c7 = c6 + (rows > 7 ? ldc : 0);
        Vector512<float> s00 = Vector512<float>.Zero;
        Vector512<float> s01 = Vector512<float>.Zero;
        Vector512<float> s02 = Vector512<float>.Zero;
        Vector512<float> s10 = Vector512<float>.Zero;
        Vector512<float> s11 = Vector512<float>.Zero;
        Vector512<float> s12 = Vector512<float>.Zero;
        Vector512<float> s20 = Vector512<float>.Zero;
        Vector512<float> s21 = Vector512<float>.Zero;
        Vector512<float> s22 = Vector512<float>.Zero;
        Vector512<float> s30 = Vector512<float>.Zero;
        Vector512<float> s31 = Vector512<float>.Zero;
        Vector512<float> s32 = Vector512<float>.Zero;
        Vector512<float> s40 = Vector512<float>.Zero;
        Vector512<float> s41 = Vector512<float>.Zero;
        Vector512<float> s42 = Vector512<float>.Zero;
        Vector512<float> s50 = Vector512<float>.Zero;
        Vector512<float> s51 = Vector512<float>.Zero;
        Vector512<float> s52 = Vector512<float>.Zero;
        Vector512<float> s60 = Vector512<float>.Zero;
        Vector512<float> s61 = Vector512<float>.Zero;
        Vector512<float> s62 = Vector512<float>.Zero;
        Vector512<float> s70 = Vector512<float>.Zero;
        Vector512<float> s71 = Vector512<float>.Zero;
        Vector512<float> s72 = Vector512<float>.Zero;
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

        for (nint n = 0, k = 0; n < depth; n++, k += step)
        {
            Vector512<float> b0 = Vector512.LoadAligned(b);
            Vector512<float> b1 = Vector512.LoadAligned(b + 16);
            Vector512<float> b2 = Vector512.LoadAligned(b + 32);
            Vector512<float> x = Vector512.Create(a0[k]);
            s00 = Vector512.FusedMultiplyAdd(x, b0, s00);
            s01 = Vector512.FusedMultiplyAdd(x, b1, s01);
            s02 = Vector512.FusedMultiplyAdd(x, b2, s02);
            x = Vector512.Create(a1[k]);
            s10 = Vector512.FusedMultiplyAdd(x, b0, s10);
            s11 = Vector512.FusedMultiplyAdd(x, b1, s11);
            s12 = Vector512.FusedMultiplyAdd(x, b2, s12);
            x = Vector512.Create(a2[k]);
            s20 = Vector512.FusedMultiplyAdd(x, b0, s20);
            s21 = Vector512.FusedMultiplyAdd(x, b1, s21);
            s22 = Vector512.FusedMultiplyAdd(x, b2, s22);
            x = Vector512.Create(a3[k]);
            s30 = Vector512.FusedMultiplyAdd(x, b0, s30);
            s31 = Vector512.FusedMultiplyAdd(x, b1, s31);
            s32 = Vector512.FusedMultiplyAdd(x, b2, s32);
            x = Vector512.Create(a4[k]);
            s40 = Vector512.FusedMultiplyAdd(x, b0, s40);
            s41 = Vector512.FusedMultiplyAdd(x, b1, s41);
            s42 = Vector512.FusedMultiplyAdd(x, b2, s42);
            x = Vector512.Create(a5[k]);
            s50 = Vector512.FusedMultiplyAdd(x, b0, s50);
            s51 = Vector512.FusedMultiplyAdd(x, b1, s51);
            s52 = Vector512.FusedMultiplyAdd(x, b2, s52);
            x = Vector512.Create(a6[k]);
            s60 = Vector512.FusedMultiplyAdd(x, b0, s60);
            s61 = Vector512.FusedMultiplyAdd(x, b1, s61);
            s62 = Vector512.FusedMultiplyAdd(x, b2, s62);
            x = Vector512.Create(a7[k]);
            s70 = Vector512.FusedMultiplyAdd(x, b0, s70);
            s71 = Vector512.FusedMultiplyAdd(x, b1, s71);
            s72 = Vector512.FusedMultiplyAdd(x, b2, s72);
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
}
