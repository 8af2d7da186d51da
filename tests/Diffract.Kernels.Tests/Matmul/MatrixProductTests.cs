using Diffract.Compute;
using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Cpu;
using Diffract.Cpu.Matmul;
using Diffract.Cpu.Threads;

namespace Diffract.Kernels.Tests.Matmul;

public sealed class MatrixProductTests
{
    /// <summary>The last two: more terms than are summed at a time, and results too large for the caches.</summary>
    static readonly (int M, int N, int K)[] Shapes =
    [
        (1, 1, 1), (1, 17, 3), (5, 16, 8), (6, 48, 256), (7, 49, 257), (97, 31, 300), (13, 100, 513), (200, 65, 40), (3, 5, 0), (2, 700, 129),
        (211, 20, 1100), (2500, 2600, 2),
    ];

    public static TheoryData<string> Paths => BackendsUnderTest.CpuNames;

    [Theory]
    [MemberData(nameof(Paths))]
    public void Every_product_agrees_with_the_plain_formula(string name)
    {
        using WorkerPool pool = new(Threads(name));
        using MatrixProduct product = new(CpuPathOf(name), pool);
        foreach ((int m, int n, int k) in Shapes)
        {
            Random random = new(m * 10007 + n * 101 + k);
            Matrix a_MK = Fill(random, m, k, 3);
            Matrix b_NK = Fill(random, n, k, 0);
            Matrix b_KN = Turn(b_NK, 5);
            Matrix a_KM = Turn(a_MK, 1);
            Matrix bias_N = Fill(random, 1, n, 0);
            Matrix half_NK = Round(b_NK);
            double[] wanted = Wanted(a_MK, i => b_NK.Row(i), n, bias_N);
            double[] wantedHalf = Wanted(a_MK, i => WidenRow(half_NK, i), n, bias_N);
            Matrix c_MN = Wide(m, n, 2);

            product.TimesTransposed(a_MK, b_NK, c_MN, bias_N);
            Near(wanted, c_MN);
            float[] bits = Copy(c_MN);
            product.Times(a_MK, b_KN, c_MN, bias_N);
            Assert.True(bits.AsSpan().SequenceEqual(Copy(c_MN)), "the same bits whatever the layout of the operands");
            product.TransposedTimes(a_KM, b_KN, c_MN, bias_N);
            Assert.True(bits.AsSpan().SequenceEqual(Copy(c_MN)), "the same bits whatever the layout of the operands");
            using PackedMatrix packed = product.Pack(b_NK);
            product.TimesTransposed(a_MK, packed, c_MN, bias_N);
            Assert.True(bits.AsSpan().SequenceEqual(Copy(c_MN)), "the same bits whatever the layout of the operands");

            product.TimesTransposed(a_MK, half_NK, c_MN, bias_N);
            Near(wantedHalf, c_MN);
            bits = Copy(c_MN);
            using PackedMatrix packedHalf = product.Pack(half_NK);
            Assert.Equal(ElementType.BFloat16, packedHalf.Type);
            product.TimesTransposed(a_MK, packedHalf, c_MN, bias_N);
            Assert.True(bits.AsSpan().SequenceEqual(Copy(c_MN)), "the same bits whatever the layout of the operands");

            product.TimesTransposed(a_MK, b_NK, c_MN);
            Near(Wanted(a_MK, i => b_NK.Row(i), n, null), c_MN);
        }
    }

    [Theory]
    [MemberData(nameof(Paths))]
    public void A_row_has_the_same_bits_in_any_batch_and_on_any_number_of_threads(string name)
    {
        using WorkerPool one = new(1);
        using WorkerPool many = new(Threads(name));
        using MatrixProduct alone = new(CpuPathOf(name), one);
        using MatrixProduct together = new(CpuPathOf(name), many);
        Random random = new(7);
        Matrix a_MK = Fill(random, 203, 301, 0);
        Matrix b_NK = Fill(random, 77, 301, 0);
        Matrix all = Wide(203, 77, 0);
        together.TimesTransposed(a_MK, b_NK, all);
        foreach (int row in new[] { 0, 95, 96, 202 })
        {
            Matrix single = Wide(1, 77, 0);
            alone.TimesTransposed(a_MK.SliceRows(row, 1), b_NK, single);
            Assert.Equal(all.Row(row).ToArray(), single.Row(0).ToArray());
        }
    }

    [Fact]
    public void Shapes_that_do_not_fit_are_refused()
    {
        using WorkerPool pool = new(1);
        using MatrixProduct product = new(CpuPath.Vector, pool);
        Assert.Throws<ShapeException>(() => product.TimesTransposed(Wide(2, 3, 0), Wide(4, 5, 0), Wide(2, 4, 0)));
    }

    static int Threads(string name) => int.Parse(name.Split('-')[1], System.Globalization.CultureInfo.InvariantCulture);

    static CpuPath CpuPathOf(string name)
    {
        using IBackend backend = BackendsUnderTest.Create(name);
        return ((CpuBackend)backend).Path;
    }

    static Matrix Wide(int rows, int columns, int padding) => Matrix.Host(rows, columns + padding).SliceColumns(0, columns);

    static Matrix Fill(Random random, int rows, int columns, int padding)
    {
        Matrix matrix = Wide(rows, columns, padding);
        for (int r = 0; r < rows; r++)
        {
            foreach (ref float x in matrix.Row(r))
            {
                x = (float)(random.NextDouble() * 2 - 1);
            }
        }

        return matrix;
    }

    static Matrix Turn(Matrix source, int padding)
    {
        Matrix target = Wide(source.Columns, source.Rows, padding);
        for (int r = 0; r < source.Rows; r++)
        {
            for (int c = 0; c < source.Columns; c++)
            {
                target.Row(c)[r] = source.Row(r)[c];
            }
        }

        return target;
    }

    static Matrix Round(Matrix source)
    {
        Matrix target = Matrix.Host(source.Rows, source.Columns, ElementType.BFloat16);
        Span<ushort> bits = ((HostBuffer)target.Buffer).Span<ushort>();
        for (int r = 0; r < source.Rows; r++)
        {
            BFloat16.Round(source.Row(r), bits.Slice(r * source.Columns, source.Columns));
        }

        return target;
    }

    static Span<float> WidenRow(Matrix half, int row)
    {
        float[] wide = new float[half.Columns];
        BFloat16.Widen(((HostBuffer)half.Buffer).Span<ushort>().Slice(row * half.Columns, half.Columns), wide);
        return wide;
    }

    delegate Span<float> RowOf(int row);

    static double[] Wanted(Matrix a_MK, RowOf b, int n, Matrix? bias)
    {
        double[] c = new double[a_MK.Rows * n];
        for (int i = 0; i < a_MK.Rows; i++)
        {
            for (int j = 0; j < n; j++)
            {
                double sum = bias?.Row(0)[j] ?? 0;
                Span<float> x = a_MK.Row(i), y = b(j);
                for (int k = 0; k < x.Length; k++)
                {
                    sum += (double)x[k] * y[k];
                }

                c[i * n + j] = sum;
            }
        }

        return c;
    }

    static float[] Copy(Matrix matrix)
    {
        float[] copy = new float[matrix.Rows * matrix.Columns];
        HostCopies.Download(matrix, copy);
        return copy;
    }

    static void Near(double[] wanted, Matrix got_MN)
    {
        float[] got = Copy(got_MN);
        double scale = Math.Max(1e-30, wanted.Max(Math.Abs));
        for (int i = 0; i < got.Length; i++)
        {
            if (!(Math.Abs(got[i] - wanted[i]) <= Tolerance.MatMul * scale))
            {
                Assert.Fail($"element {i}: {got[i]} instead of {wanted[i]}");
            }
        }
    }
}
