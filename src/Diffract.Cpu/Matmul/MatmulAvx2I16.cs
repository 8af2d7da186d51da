using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Diffract.Cpu.Matmul;

/// <summary>Six rows by sixteen columns of 16-bit integers in twelve 256-bit accumulators; needs AVX2.</summary>
readonly unsafe struct MatmulAvx2I16 : ITileI16
{
    public static int Rows => 6;

    public static int Columns => 16;

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
        int* a4 = a3 + (rows > 4 ? lda : 0);
        int* c4 = c3 + (rows > 4 ? ldc : 0);
        int* a5 = a4 + (rows > 5 ? lda : 0);
        int* c5 = c4 + (rows > 5 ? ldc : 0);
        Vector256<int> s00 = Vector256<int>.Zero;
        Vector256<int> s01 = Vector256<int>.Zero;
        Vector256<int> s10 = Vector256<int>.Zero;
        Vector256<int> s11 = Vector256<int>.Zero;
        Vector256<int> s20 = Vector256<int>.Zero;
        Vector256<int> s21 = Vector256<int>.Zero;
        Vector256<int> s30 = Vector256<int>.Zero;
        Vector256<int> s31 = Vector256<int>.Zero;
        Vector256<int> s40 = Vector256<int>.Zero;
        Vector256<int> s41 = Vector256<int>.Zero;
        Vector256<int> s50 = Vector256<int>.Zero;
        Vector256<int> s51 = Vector256<int>.Zero;
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

        for (nint k = 0; k < depth; k++)
        {
            Vector256<short> b0 = Vector256.LoadAligned((short*)b);
            Vector256<short> b1 = Vector256.LoadAligned((short*)(b + 8));
            Vector256<short> x = Vector256.Create(a0[k]).AsInt16();
            s00 += Avx2.MultiplyAddAdjacent(x, b0);
            s01 += Avx2.MultiplyAddAdjacent(x, b1);
            x = Vector256.Create(a1[k]).AsInt16();
            s10 += Avx2.MultiplyAddAdjacent(x, b0);
            s11 += Avx2.MultiplyAddAdjacent(x, b1);
            x = Vector256.Create(a2[k]).AsInt16();
            s20 += Avx2.MultiplyAddAdjacent(x, b0);
            s21 += Avx2.MultiplyAddAdjacent(x, b1);
            x = Vector256.Create(a3[k]).AsInt16();
            s30 += Avx2.MultiplyAddAdjacent(x, b0);
            s31 += Avx2.MultiplyAddAdjacent(x, b1);
            x = Vector256.Create(a4[k]).AsInt16();
            s40 += Avx2.MultiplyAddAdjacent(x, b0);
            s41 += Avx2.MultiplyAddAdjacent(x, b1);
            x = Vector256.Create(a5[k]).AsInt16();
            s50 += Avx2.MultiplyAddAdjacent(x, b0);
            s51 += Avx2.MultiplyAddAdjacent(x, b1);
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
