using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Diffract.Cpu.Matmul;

/// <summary>Six rows by sixteen columns in twelve 256-bit accumulators; needs AVX2 and FMA.</summary>
readonly unsafe struct MatmulAvx2F32 : ITile
{
    public static int Rows => 6;

    public static int Columns => 16;

    public static int Depth => 256;

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
        Vector256<float> s00 = Vector256<float>.Zero;
        Vector256<float> s01 = Vector256<float>.Zero;
        Vector256<float> s10 = Vector256<float>.Zero;
        Vector256<float> s11 = Vector256<float>.Zero;
        Vector256<float> s20 = Vector256<float>.Zero;
        Vector256<float> s21 = Vector256<float>.Zero;
        Vector256<float> s30 = Vector256<float>.Zero;
        Vector256<float> s31 = Vector256<float>.Zero;
        Vector256<float> s40 = Vector256<float>.Zero;
        Vector256<float> s41 = Vector256<float>.Zero;
        Vector256<float> s50 = Vector256<float>.Zero;
        Vector256<float> s51 = Vector256<float>.Zero;
        if (accumulate)
        {
            s00 = Vector256.Load(c0);
            s01 = Vector256.Load(c0 + 8);
            s10 = Vector256.Load(c1);
            s11 = Vector256.Load(c1 + 8);
            s20 = Vector256.Load(c2);
            s21 = Vector256.Load(c2 + 8);
            s30 = Vector256.Load(c3);
            s31 = Vector256.Load(c3 + 8);
            s40 = Vector256.Load(c4);
            s41 = Vector256.Load(c4 + 8);
            s50 = Vector256.Load(c5);
            s51 = Vector256.Load(c5 + 8);
        }

        for (nint n = 0, k = 0; n < depth; n++, k += step)
        {
            Vector256<float> b0 = Vector256.LoadAligned(b);
            Vector256<float> b1 = Vector256.LoadAligned(b + 8);
            Vector256<float> x = Vector256.Create(a0[k]);
            s00 = Vector256.FusedMultiplyAdd(x, b0, s00);
            s01 = Vector256.FusedMultiplyAdd(x, b1, s01);
            x = Vector256.Create(a1[k]);
            s10 = Vector256.FusedMultiplyAdd(x, b0, s10);
            s11 = Vector256.FusedMultiplyAdd(x, b1, s11);
            x = Vector256.Create(a2[k]);
            s20 = Vector256.FusedMultiplyAdd(x, b0, s20);
            s21 = Vector256.FusedMultiplyAdd(x, b1, s21);
            x = Vector256.Create(a3[k]);
            s30 = Vector256.FusedMultiplyAdd(x, b0, s30);
            s31 = Vector256.FusedMultiplyAdd(x, b1, s31);
            x = Vector256.Create(a4[k]);
            s40 = Vector256.FusedMultiplyAdd(x, b0, s40);
            s41 = Vector256.FusedMultiplyAdd(x, b1, s41);
            x = Vector256.Create(a5[k]);
            s50 = Vector256.FusedMultiplyAdd(x, b0, s50);
            s51 = Vector256.FusedMultiplyAdd(x, b1, s51);
            b += 16;
        }

        s00.Store(c0);
        s01.Store(c0 + 8);
        s10.Store(c1);
        s11.Store(c1 + 8);
        s20.Store(c2);
        s21.Store(c2 + 8);
        s30.Store(c3);
        s31.Store(c3 + 8);
        s40.Store(c4);
        s41.Store(c4 + 8);
        s50.Store(c5);
        s51.Store(c5 + 8);
    }
}
