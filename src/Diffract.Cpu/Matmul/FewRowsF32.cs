using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Diffract.Cpu.Matmul;

/// <summary>
/// One to three rows by 32 columns, for products of a few rows, in which the widest tile would wait for its own sums. Chains and their order are those of every <see cref="ITile"/>;
/// no call in here, as there.
/// </summary>
static unsafe class FewRowsF32
{
    /// <summary>Rows of the largest.</summary>
    public const int Rows = 3;

    /// <summary>Width of a panel.</summary>
    public const int Columns = 32;

    /// <summary>c[i][j] (+)= Σ_k a[i][k]·b[k][j] for rows = 1 .. 3; c has <see cref="Columns"/> elements a row. For each k <paramref name="share"/> more bytes from <paramref name="ahead"/> on are fetched.</summary>
    public static void Run(nint depth, float* a, nint lda, int rows, float* b, float* c, bool accumulate, byte* ahead, nint share)
    {
        switch (rows)
        {
            case 1:
                One(depth, a, b, c, accumulate, ahead, share);
                break;
            case 2:
                Two(depth, a, a + lda, b, c, accumulate, ahead, share);
                break;
            default:
                Three(depth, a, a + lda, a + 2 * lda, b, c, accumulate, ahead, share);
                break;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    static void One(nint depth, float* a, float* b, float* c, bool accumulate, byte* ahead, nint share)
    {
        Vector256<float> s0 = Vector256<float>.Zero;
        Vector256<float> s1 = Vector256<float>.Zero;
        Vector256<float> s2 = Vector256<float>.Zero;
        Vector256<float> s3 = Vector256<float>.Zero;
        if (accumulate)
        {
            s0 = Vector256.Load(c);
            s1 = Vector256.Load(c + 8);
            s2 = Vector256.Load(c + 16);
            s3 = Vector256.Load(c + 24);
        }

        for (nint k = 0; k < depth; k++)
        {
            if (Sse.IsSupported)
            {
                Sse.Prefetch1(ahead);
                ahead += share;
            }

            Vector256<float> x = Vector256.Create(a[k]);
            s0 = Vector256.FusedMultiplyAdd(x, Vector256.LoadAligned(b), s0);
            s1 = Vector256.FusedMultiplyAdd(x, Vector256.LoadAligned(b + 8), s1);
            s2 = Vector256.FusedMultiplyAdd(x, Vector256.LoadAligned(b + 16), s2);
            s3 = Vector256.FusedMultiplyAdd(x, Vector256.LoadAligned(b + 24), s3);
            b += 32;
        }

        s0.Store(c);
        s1.Store(c + 8);
        s2.Store(c + 16);
        s3.Store(c + 24);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    static void Two(nint depth, float* a0, float* a1, float* b, float* c, bool accumulate, byte* ahead, nint share)
    {
        Vector256<float> s00 = Vector256<float>.Zero;
        Vector256<float> s01 = Vector256<float>.Zero;
        Vector256<float> s02 = Vector256<float>.Zero;
        Vector256<float> s03 = Vector256<float>.Zero;
        Vector256<float> s10 = Vector256<float>.Zero;
        Vector256<float> s11 = Vector256<float>.Zero;
        Vector256<float> s12 = Vector256<float>.Zero;
        Vector256<float> s13 = Vector256<float>.Zero;
        if (accumulate)
        {
            s00 = Vector256.Load(c);
            s01 = Vector256.Load(c + 8);
            s02 = Vector256.Load(c + 16);
            s03 = Vector256.Load(c + 24);
            s10 = Vector256.Load(c + 32);
            s11 = Vector256.Load(c + 40);
            s12 = Vector256.Load(c + 48);
            s13 = Vector256.Load(c + 56);
        }

        for (nint k = 0; k < depth; k++)
        {
            if (Sse.IsSupported)
            {
                Sse.Prefetch1(ahead);
                ahead += share;
            }

            Vector256<float> b0 = Vector256.LoadAligned(b);
            Vector256<float> b1 = Vector256.LoadAligned(b + 8);
            Vector256<float> b2 = Vector256.LoadAligned(b + 16);
            Vector256<float> b3 = Vector256.LoadAligned(b + 24);
            Vector256<float> x = Vector256.Create(a0[k]);
            s00 = Vector256.FusedMultiplyAdd(x, b0, s00);
            s01 = Vector256.FusedMultiplyAdd(x, b1, s01);
            s02 = Vector256.FusedMultiplyAdd(x, b2, s02);
            s03 = Vector256.FusedMultiplyAdd(x, b3, s03);
            x = Vector256.Create(a1[k]);
            s10 = Vector256.FusedMultiplyAdd(x, b0, s10);
            s11 = Vector256.FusedMultiplyAdd(x, b1, s11);
            s12 = Vector256.FusedMultiplyAdd(x, b2, s12);
            s13 = Vector256.FusedMultiplyAdd(x, b3, s13);
            b += 32;
        }

        s00.Store(c);
        s01.Store(c + 8);
        s02.Store(c + 16);
        s03.Store(c + 24);
        s10.Store(c + 32);
        s11.Store(c + 40);
        s12.Store(c + 48);
        s13.Store(c + 56);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    static void Three(nint depth, float* a0, float* a1, float* a2, float* b, float* c, bool accumulate, byte* ahead, nint share)
    {
        Vector256<float> s00 = Vector256<float>.Zero;
        Vector256<float> s01 = Vector256<float>.Zero;
        Vector256<float> s02 = Vector256<float>.Zero;
        Vector256<float> s03 = Vector256<float>.Zero;
        Vector256<float> s10 = Vector256<float>.Zero;
        Vector256<float> s11 = Vector256<float>.Zero;
        Vector256<float> s12 = Vector256<float>.Zero;
        Vector256<float> s13 = Vector256<float>.Zero;
        Vector256<float> s20 = Vector256<float>.Zero;
        Vector256<float> s21 = Vector256<float>.Zero;
        Vector256<float> s22 = Vector256<float>.Zero;
        Vector256<float> s23 = Vector256<float>.Zero;
        if (accumulate)
        {
            s00 = Vector256.Load(c);
            s01 = Vector256.Load(c + 8);
            s02 = Vector256.Load(c + 16);
            s03 = Vector256.Load(c + 24);
            s10 = Vector256.Load(c + 32);
            s11 = Vector256.Load(c + 40);
            s12 = Vector256.Load(c + 48);
            s13 = Vector256.Load(c + 56);
            s20 = Vector256.Load(c + 64);
            s21 = Vector256.Load(c + 72);
            s22 = Vector256.Load(c + 80);
            s23 = Vector256.Load(c + 88);
        }

        for (nint k = 0; k < depth; k++)
        {
            if (Sse.IsSupported)
            {
                Sse.Prefetch1(ahead);
                ahead += share;
            }

            Vector256<float> x0 = Vector256.Create(a0[k]);
            Vector256<float> x1 = Vector256.Create(a1[k]);
            Vector256<float> x2 = Vector256.Create(a2[k]);
            Vector256<float> y = Vector256.LoadAligned(b);
            s00 = Vector256.FusedMultiplyAdd(x0, y, s00);
            s10 = Vector256.FusedMultiplyAdd(x1, y, s10);
            s20 = Vector256.FusedMultiplyAdd(x2, y, s20);
            y = Vector256.LoadAligned(b + 8);
            s01 = Vector256.FusedMultiplyAdd(x0, y, s01);
            s11 = Vector256.FusedMultiplyAdd(x1, y, s11);
            s21 = Vector256.FusedMultiplyAdd(x2, y, s21);
            y = Vector256.LoadAligned(b + 16);
            s02 = Vector256.FusedMultiplyAdd(x0, y, s02);
            s12 = Vector256.FusedMultiplyAdd(x1, y, s12);
            s22 = Vector256.FusedMultiplyAdd(x2, y, s22);
            y = Vector256.LoadAligned(b + 24);
            s03 = Vector256.FusedMultiplyAdd(x0, y, s03);
            s13 = Vector256.FusedMultiplyAdd(x1, y, s13);
            s23 = Vector256.FusedMultiplyAdd(x2, y, s23);
            b += 32;
        }

        s00.Store(c);
        s01.Store(c + 8);
        s02.Store(c + 16);
        s03.Store(c + 24);
        s10.Store(c + 32);
        s11.Store(c + 40);
        s12.Store(c + 48);
        s13.Store(c + 56);
        s20.Store(c + 64);
        s21.Store(c + 72);
        s22.Store(c + 80);
        s23.Store(c + 88);
    }
}
