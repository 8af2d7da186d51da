using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Diffract.Cpu.Crosscoder;

/// <summary>Sums over rows of a matrix: what decoding and the gradients of the latents are made of.</summary>
static unsafe class RowSums
{
    /// <summary>sum += Σ_i values[i] · table[rows[i]], element by element in the order of i. No call inside: the accumulators stay in registers.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    public static void Add(int count, int* rows, float* values, float* table, nint stride, int width, float* sum)
    {
        int c = 0;
        for (; c <= width - 64; c += 64)
        {
            Vector256<float> s0 = Vector256.Load(sum + c + 0);
            Vector256<float> s1 = Vector256.Load(sum + c + 8);
            Vector256<float> s2 = Vector256.Load(sum + c + 16);
            Vector256<float> s3 = Vector256.Load(sum + c + 24);
            Vector256<float> s4 = Vector256.Load(sum + c + 32);
            Vector256<float> s5 = Vector256.Load(sum + c + 40);
            Vector256<float> s6 = Vector256.Load(sum + c + 48);
            Vector256<float> s7 = Vector256.Load(sum + c + 56);
            for (int i = 0; i < count; i++)
            {
                float* row = table + rows[i] * stride + c;
                Vector256<float> x = Vector256.Create(values[i]);
                s0 = Vector256.MultiplyAddEstimate(x, Vector256.Load(row + 0), s0);
                s1 = Vector256.MultiplyAddEstimate(x, Vector256.Load(row + 8), s1);
                s2 = Vector256.MultiplyAddEstimate(x, Vector256.Load(row + 16), s2);
                s3 = Vector256.MultiplyAddEstimate(x, Vector256.Load(row + 24), s3);
                s4 = Vector256.MultiplyAddEstimate(x, Vector256.Load(row + 32), s4);
                s5 = Vector256.MultiplyAddEstimate(x, Vector256.Load(row + 40), s5);
                s6 = Vector256.MultiplyAddEstimate(x, Vector256.Load(row + 48), s6);
                s7 = Vector256.MultiplyAddEstimate(x, Vector256.Load(row + 56), s7);
            }

            s0.Store(sum + c + 0);
            s1.Store(sum + c + 8);
            s2.Store(sum + c + 16);
            s3.Store(sum + c + 24);
            s4.Store(sum + c + 32);
            s5.Store(sum + c + 40);
            s6.Store(sum + c + 48);
            s7.Store(sum + c + 56);
        }

        for (; c <= width - 8; c += 8)
        {
            Vector256<float> s = Vector256.Load(sum + c);
            for (int i = 0; i < count; i++)
            {
                s = Vector256.MultiplyAddEstimate(Vector256.Create(values[i]), Vector256.Load(table + rows[i] * stride + c), s);
            }

            s.Store(sum + c);
        }

        for (; c < width; c++)
        {
            float s = sum[c];
            for (int i = 0; i < count; i++)
            {
                s = float.MultiplyAddEstimate(values[i], table[rows[i] * stride + c], s);
            }

            sum[c] = s;
        }
    }

    /// <summary>sum = Σ_i values[i] · table[rows[i]], as <see cref="Add"/> from zeros; meanwhile the rows of <paramref name="ahead"/> are fetched into the second-level cache.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    public static void Set(int count, int* rows, float* values, float* table, nint stride, int width, float* sum, Fetch ahead)
    {
        int c = 0;
        for (; c <= width - 64; c += 64)
        {
            if (Sse.IsSupported && ahead.A != null)
            {
                for (int line = c; line < c + 64; line += 16)
                {
                    Sse.Prefetch1(ahead.A + line);
                    Sse.Prefetch1(ahead.B + line);
                    Sse.Prefetch1(ahead.C + line);
                }
            }

            Vector256<float> s0 = Vector256<float>.Zero, s1 = s0, s2 = s0, s3 = s0, s4 = s0, s5 = s0, s6 = s0, s7 = s0;
            for (int i = 0; i < count; i++)
            {
                float* row = table + rows[i] * stride + c;
                Vector256<float> x = Vector256.Create(values[i]);
                s0 = Vector256.MultiplyAddEstimate(x, Vector256.Load(row + 0), s0);
                s1 = Vector256.MultiplyAddEstimate(x, Vector256.Load(row + 8), s1);
                s2 = Vector256.MultiplyAddEstimate(x, Vector256.Load(row + 16), s2);
                s3 = Vector256.MultiplyAddEstimate(x, Vector256.Load(row + 24), s3);
                s4 = Vector256.MultiplyAddEstimate(x, Vector256.Load(row + 32), s4);
                s5 = Vector256.MultiplyAddEstimate(x, Vector256.Load(row + 40), s5);
                s6 = Vector256.MultiplyAddEstimate(x, Vector256.Load(row + 48), s6);
                s7 = Vector256.MultiplyAddEstimate(x, Vector256.Load(row + 56), s7);
            }

            s0.Store(sum + c + 0);
            s1.Store(sum + c + 8);
            s2.Store(sum + c + 16);
            s3.Store(sum + c + 24);
            s4.Store(sum + c + 32);
            s5.Store(sum + c + 40);
            s6.Store(sum + c + 48);
            s7.Store(sum + c + 56);
        }

        for (; c <= width - 8; c += 8)
        {
            Vector256<float> s = Vector256<float>.Zero;
            for (int i = 0; i < count; i++)
            {
                s = Vector256.MultiplyAddEstimate(Vector256.Create(values[i]), Vector256.Load(table + rows[i] * stride + c), s);
            }

            s.Store(sum + c);
        }

        for (; c < width; c++)
        {
            float s = 0;
            for (int i = 0; i < count; i++)
            {
                s = float.MultiplyAddEstimate(values[i], table[rows[i] * stride + c], s);
            }

            sum[c] = s;
        }
    }

    /// <summary>⟨a, b⟩ in four running sums.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static float Dot(float* a, float* b, int width)
    {
        Vector256<float> s0 = Vector256<float>.Zero, s1 = s0, s2 = s0, s3 = s0;
        int c = 0;
        for (; c <= width - 32; c += 32)
        {
            s0 = Vector256.MultiplyAddEstimate(Vector256.Load(a + c), Vector256.Load(b + c), s0);
            s1 = Vector256.MultiplyAddEstimate(Vector256.Load(a + c + 8), Vector256.Load(b + c + 8), s1);
            s2 = Vector256.MultiplyAddEstimate(Vector256.Load(a + c + 16), Vector256.Load(b + c + 16), s2);
            s3 = Vector256.MultiplyAddEstimate(Vector256.Load(a + c + 24), Vector256.Load(b + c + 24), s3);
        }

        for (; c <= width - 8; c += 8)
        {
            s0 = Vector256.MultiplyAddEstimate(Vector256.Load(a + c), Vector256.Load(b + c), s0);
        }

        float sum = Vector256.Sum((s0 + s1) + (s2 + s3));
        for (; c < width; c++)
        {
            sum += a[c] * b[c];
        }

        return sum;
    }

    /// <summary><see cref="Dot"/>, bit for bit; meanwhile two rows that are wanted next are fetched into the second-level cache.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static float DotAhead(float* a, float* b, int width, float* next, float* other)
    {
        Vector256<float> s0 = Vector256<float>.Zero, s1 = s0, s2 = s0, s3 = s0;
        int c = 0;
        for (; c <= width - 32; c += 32)
        {
            if (Sse.IsSupported)
            {
                Sse.Prefetch1(next + c);
                Sse.Prefetch1(next + c + 16);
                Sse.Prefetch1(other + c);
                Sse.Prefetch1(other + c + 16);
            }

            s0 = Vector256.MultiplyAddEstimate(Vector256.Load(a + c), Vector256.Load(b + c), s0);
            s1 = Vector256.MultiplyAddEstimate(Vector256.Load(a + c + 8), Vector256.Load(b + c + 8), s1);
            s2 = Vector256.MultiplyAddEstimate(Vector256.Load(a + c + 16), Vector256.Load(b + c + 16), s2);
            s3 = Vector256.MultiplyAddEstimate(Vector256.Load(a + c + 24), Vector256.Load(b + c + 24), s3);
        }

        for (; c <= width - 8; c += 8)
        {
            s0 = Vector256.MultiplyAddEstimate(Vector256.Load(a + c), Vector256.Load(b + c), s0);
        }

        float sum = Vector256.Sum((s0 + s1) + (s2 + s3));
        for (; c < width; c++)
        {
            sum += a[c] * b[c];
        }

        return sum;
    }

    /// <summary>Σ a², in double.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static double Squares(float* a, int width)
    {
        Vector256<double> s0 = Vector256<double>.Zero, s1 = s0;
        int c = 0;
        for (; c <= width - 8; c += 8)
        {
            Vector256<float> x = Vector256.Load(a + c);
            Vector256<double> low = Vector256.WidenLower(x), high = Vector256.WidenUpper(x);
            s0 = Vector256.MultiplyAddEstimate(low, low, s0);
            s1 = Vector256.MultiplyAddEstimate(high, high, s1);
        }

        double sum = Vector256.Sum(s0 + s1);
        for (; c < width; c++)
        {
            sum += (double)a[c] * a[c];
        }

        return sum;
    }

    /// <summary>sums[c] += Σ_r a[r, c] over a few columns, in double, in the order of r.</summary>
    public static void AddColumns(float* a, nint stride, int rows, int columns, double* sums)
    {
        for (int r = 0; r < rows; r++)
        {
            float* row = a + r * stride;
            int c = 0;
            for (; c <= columns - 8; c += 8)
            {
                Vector256<float> x = Vector256.Load(row + c);
                (Vector256.Load(sums + c) + Vector256.WidenLower(x)).Store(sums + c);
                (Vector256.Load(sums + c + 4) + Vector256.WidenUpper(x)).Store(sums + c + 4);
            }

            for (; c < columns; c++)
            {
                sums[c] += row[c];
            }
        }
    }
}

/// <summary>Three rows that will be wanted soon; null for none.</summary>
readonly unsafe struct Fetch
{
    public float* A { get; init; }

    public float* B { get; init; }

    public float* C { get; init; }
}
