using System.Numerics;
using System.Runtime.CompilerServices;

namespace Diffract.Cpu.Matmul;

/// <summary>Four rows by two vectors of whatever width the processor has (NEON: 4 floats).</summary>
readonly unsafe struct MatmulVectorF32 : ITile
{
    public static int Rows => 4;

    public static int Columns => 2 * Vector<float>.Count;

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
        Vector<float> s00 = Vector<float>.Zero;
        Vector<float> s01 = Vector<float>.Zero;
        Vector<float> s10 = Vector<float>.Zero;
        Vector<float> s11 = Vector<float>.Zero;
        Vector<float> s20 = Vector<float>.Zero;
        Vector<float> s21 = Vector<float>.Zero;
        Vector<float> s30 = Vector<float>.Zero;
        Vector<float> s31 = Vector<float>.Zero;
        nint w = Vector<float>.Count;
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

        for (nint n = 0, k = 0; n < depth; n++, k += step)
        {
            Vector<float> b0 = Vector.Load(b);
            Vector<float> b1 = Vector.Load(b + w);
            Vector<float> x = Vector.Create(a0[k]);
            s00 = Vector.FusedMultiplyAdd(x, b0, s00);
            s01 = Vector.FusedMultiplyAdd(x, b1, s01);
            x = Vector.Create(a1[k]);
            s10 = Vector.FusedMultiplyAdd(x, b0, s10);
            s11 = Vector.FusedMultiplyAdd(x, b1, s11);
            x = Vector.Create(a2[k]);
            s20 = Vector.FusedMultiplyAdd(x, b0, s20);
            s21 = Vector.FusedMultiplyAdd(x, b1, s21);
            x = Vector.Create(a3[k]);
            s30 = Vector.FusedMultiplyAdd(x, b0, s30);
            s31 = Vector.FusedMultiplyAdd(x, b1, s31);
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
