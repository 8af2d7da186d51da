using Diffract.Compute;
using Diffract.Compute.Buffers;
using Diffract.Cpu;
using Diffract.Cpu.Matmul;
using Diffract.Cpu.Threads;

namespace Diffract.Kernels.Tests.Matmul;

/// <summary>Products with weights as they lie in a checkpoint, held to <see cref="MatrixProduct"/>, whose own tests hold it to the formula: the same bits, however many rows share the call.</summary>
public sealed class WeightProductTests
{
    /// <summary>Rows of every kind of call: the small tiles and their mixtures, one strip for all, blocks; widths that fill no panel, depths beyond one piece of a block, several groups of columns.</summary>
    static readonly (int Rows, int Columns, int Depth)[] Shapes =
    [
        (1, 1, 1), (1, 70, 300), (2, 33, 16), (3, 17, 600), (4, 49, 40), (5, 100, 257), (6, 31, 513), (13, 48, 1100), (47, 65, 31), (48, 65, 31), (97, 40, 1030), (200, 37, 129), (5, 9, 0), (50, 9, 0),
        (60, 1500, 2100), (1600, 20, 10), (0, 8, 8),
    ];

    public static TheoryData<string> Paths => BackendsUnderTest.CpuNames;

    [Theory]
    [MemberData(nameof(Paths))]
    public void Every_call_gives_the_bits_of_the_packed_product(string name)
    {
        using WorkerPool pool = new(Threads(name));
        using MatrixProduct plain = new(PathOf(name), pool);
        using WeightProduct product = new(PathOf(name), pool);
        foreach ((int rows, int columns, int depth) in Shapes)
        {
            Matrix x = Draw(rows, depth, 1, 3), bias = Draw(1, columns, 2, 0), wanted = Draw(rows, columns, 0, 0), got = Draw(rows, columns, 3, 5);
            foreach (Matrix w in (Matrix[])[Draw(columns, depth, 4, 3), Half(columns, depth, 5, 3)])
            {
                plain.TimesTransposed(x, w, wanted);
                product.Times(x, w, got);
                Assert.Equal(Floats(wanted), Floats(got));
                plain.TimesTransposed(x, w, wanted, bias);
                product.Times(x, w, got, bias);
                Assert.Equal(Floats(wanted), Floats(got));

                // A sum taken in two pieces.
                int cut = depth / 2;
                product.Times(x.SliceColumns(0, cut), w.SliceColumns(0, cut), got, bias);
                product.Times(x.SliceColumns(cut, depth - cut), w.SliceColumns(cut, depth - cut), got, more: true);
                Assert.Equal(Floats(wanted), Floats(got));
            }
        }
    }

    [Fact]
    public void Shapes_that_do_not_fit_are_refused()
    {
        using WorkerPool pool = new(1);
        using WeightProduct product = new(CpuPath.Vector, pool);
        Matrix x = Draw(2, 3, 1, 0), w = Draw(4, 3, 1, 0), c = Draw(2, 4, 1, 0);
        Assert.Throws<ShapeException>(() => product.Times(x, Draw(4, 5, 1, 0), c));
        Assert.Throws<ShapeException>(() => product.Times(x, w, Draw(2, 3, 1, 0)));
        Assert.Throws<ShapeException>(() => product.Times(x, w, c, Draw(1, 3, 1, 0)));
        Assert.Throws<ShapeException>(() => product.Times(x, w, c, Draw(1, 4, 1, 0), more: true));
        Assert.Throws<ShapeException>(() => product.Times(x, Matrix.Host(4, 3, ElementType.Float16), c));
    }

    static int Threads(string name) => int.Parse(name.Split('-')[1], System.Globalization.CultureInfo.InvariantCulture);

    static CpuPath PathOf(string name)
    {
        using CpuBackend backend = (CpuBackend)BackendsUnderTest.Create(name);
        return backend.Path;
    }

    static Matrix Draw(int rows, int columns, int seed, int padding)
    {
        Random random = new(seed * 7919 + columns);
        Matrix matrix = Matrix.Host(Math.Max(rows, 1), columns + padding).SliceColumns(padding / 2, columns).SliceRows(0, rows);
        for (int r = 0; r < rows; r++)
        {
            foreach (ref float x in matrix.Row(r))
            {
                x = random.NextSingle() * 2 - 1;
            }
        }

        return matrix;
    }

    static Matrix Half(int rows, int columns, int seed, int padding)
    {
        Matrix drawn = Draw(rows, columns, seed, 0), half = Matrix.Host(rows, columns + padding, ElementType.BFloat16).SliceColumns(padding / 2, columns);
        Span<ushort> bits = ((HostBuffer)half.Buffer).Span<ushort>();
        for (int r = 0; r < rows; r++)
        {
            BFloat16.Round(drawn.Row(r), bits.Slice((int)half.Offset + r * half.Stride, columns));
        }

        return half;
    }

    static float[] Floats(Matrix matrix)
    {
        float[] values = new float[matrix.Rows * matrix.Columns];
        HostCopies.Download(matrix, values);
        return values;
    }
}
