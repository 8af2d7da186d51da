using Diffract.Compute;
using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Compute.Reference;

namespace Diffract.Kernels.Tests;

/// <summary>What every backend's <see cref="ITransformerKernels"/> must compute, against the oracle; on the CPU also the same bits for every number of threads.</summary>
public sealed partial class TransformerContract
{
    public static TheoryData<string> Names => BackendsUnderTest.CpuNames;

    [Theory]
    [MemberData(nameof(Names))]
    public void Embeddings_are_looked_up_and_scaled(string name)
    {
        foreach (ElementType type in (ElementType[])[ElementType.Float32, ElementType.BFloat16])
        {
            Matrix table = Draw.Weights(50, 37, 1, type);
            int[] ids = [.. Enumerable.Range(0, 71).Select(i => i * 7 % 50)];
            Check(name, Tolerance.Elementwise, 71, 37, (k, result) => k.Embed(ids, table, 11.3137f, result));
        }
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void Norms_match(string name)
    {
        foreach ((int rows, int width) in new[] { (70, 128), (3, 37), (1, 5), (0, 8) })
        {
            Matrix x = Draw.Acts(rows, width, 2), w = Draw.Acts(1, width, 3);
            Check(name, Tolerance.Elementwise, rows, width, (k, result) => k.RmsNorm(x, w, 1, 1e-6f, result));
            Check(name, Tolerance.Elementwise, rows, width, (k, result) => k.AddRmsNorm(x, w, 0, 1e-5f, result));
            Matrix bias = Draw.Acts(1, width, 29);
            Check(name, Tolerance.Elementwise, rows, width, (k, result) => k.LayerNorm(x, w, bias, 1e-5f, result));
        }
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void A_norm_may_work_in_place(string name)
    {
        Matrix w = Draw.Acts(1, 37, 3);
        Check(name, Tolerance.Elementwise, 9, 37, (k, result) =>
        {
            k.Copy(Draw.Acts(9, 37, 2), result);
            k.RmsNorm(result, w, 1, 1e-6f, result);
        });
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void Rows_are_added_copied_and_gathered(string name)
    {
        Matrix x = Draw.Acts(70, 37, 4);
        Check(name, 0, 70, 37, (k, result) => k.Copy(x, result));
        Check(name, 0, 70, 37, (k, result) => k.Add(x, result));
        Check(name, 0, 70, 37, (k, result) => k.AddBias(x.SliceRows(3, 1), result));
        Check(name, 0, 70, 37, (k, result) => k.Multiply(x, result));
        int[] rows = [69, 0, 5, 5, 33];
        Check(name, 0, 5, 37, (k, result) => k.GatherRows(x, rows, result));
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void Products_match(string name)
    {
        foreach ((int rows, int inner, int columns) in new[] { (1, 64, 320), (70, 128, 64), (200, 37, 29), (5, 1, 1), (0, 8, 8) })
        {
            foreach (ElementType type in (ElementType[])[ElementType.Float32, ElementType.BFloat16])
            {
                Matrix x = Draw.Acts(rows, inner, 5), w = Draw.Weights(columns, inner, 6, type);
                Check(name, Tolerance.MatMul, rows, columns, (k, result) => k.MatMul(x, w, result));
            }
        }
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void Rotary_positions_match(string name)
    {
        foreach (int head in (int[])[24, 32, 2])
        {
            Matrix table = Draw.Acts(90, head, 7);
            int[] positions = [.. Enumerable.Range(0, 70).Select(i => (i * 13) % 90)];
            Check(name, Tolerance.Elementwise, 70, 3 * head, (k, result) =>
            {
                k.Copy(Draw.Acts(70, 3 * head, 8), result);
                k.Rope(result, head, positions, table);
            });
        }
    }

    public static readonly AttentionShape[] Shapes =
    [
        new(4, 2, 24, 0.2f, 0, 50),
        new(4, 2, 32, 0.18f, 16, 50),
        new(3, 3, 8, 0.35f, 1, 0),
        new(8, 1, 20, 2.5f, 0, 0),
        new(2, 1, 100, 0.1f, 64, 5),
    ];

    [Theory]
    [MemberData(nameof(Names))]
    public void Attention_matches(string name)
    {
        // Sequences of several query blocks, a single token, none, and one with more keys than queries.
        SequenceSpan[] spans = [new(0, 130, 0, 130), new(130, 1, 130, 1), new(131, 0, 131, 0), new(131, 17, 131, 17), new(148, 5, 148, 90)];
        foreach (AttentionShape shape in Shapes)
        {
            int queries = shape.Heads * shape.HeadWidth, keys = shape.KeyValueHeads * shape.HeadWidth;
            Matrix q = Draw.Acts(153, queries, 9), k = Draw.Acts(238, keys, 10), v = Draw.Acts(238, keys, 11);
            Check(name, Tolerance.Attention, 153, queries, (kernels, result) => kernels.Attention(q, k, v, spans, shape, result));
        }
    }

    [Theory]
    [MemberData(nameof(BackendsUnderTest.Names), MemberType = typeof(BackendsUnderTest))]
    public void A_query_gives_the_same_bits_alone_with_a_cache_and_in_a_batch(string name)
    {
        using IBackend backend = BackendsUnderTest.Create(name);
        foreach (AttentionShape shape in Shapes)
        {
            int queries = shape.Heads * shape.HeadWidth, keys = shape.KeyValueHeads * shape.HeadWidth;
            Matrix q = Draw.Acts(150, queries, 12), k = Draw.Acts(150, keys, 13), v = Draw.Acts(150, keys, 14);
            Matrix whole = Matrix.Host(150, queries), alone = Matrix.Host(120, queries), last = Matrix.Host(1, queries);
            backend.Transformer.Attention(q, k, v, [new(0, 30, 0, 30), new(30, 120, 30, 120)], shape, whole);
            backend.Transformer.Attention(q.SliceRows(30, 120), k.SliceRows(30, 120), v.SliceRows(30, 120), [new(0, 120, 0, 120)], shape, alone);
            backend.Transformer.Attention(q.SliceRows(149, 1), k, v, [new(0, 1, 30, 120)], shape, last);
            Assert.Equal(Draw.Floats(alone), Draw.Floats(whole.SliceRows(30, 120)));
            Assert.Equal(Draw.Floats(last), Draw.Floats(whole.SliceRows(149, 1)));
        }
    }

    [Theory]
    [MemberData(nameof(BackendsUnderTest.Names), MemberType = typeof(BackendsUnderTest))]
    public void A_step_of_several_chats_gives_the_same_bits_as_each_whole_sequence(string name)
    {
        using IBackend backend = BackendsUnderTest.Create(name);
        int[] lengths = [1, 7, 15, 16, 17, 33, 80, 200];
        // Head widths of the published families beside odd ones.
        foreach (AttentionShape shape in (AttentionShape[])[.. Shapes, new(9, 1, 64, 0.125f, 0, 0), new(2, 1, 256, 0.06f, 100, 50)])
        {
            int queries = shape.Heads * shape.HeadWidth, keys = shape.KeyValueHeads * shape.HeadWidth, rows = lengths.Sum();
            Matrix q = Draw.Acts(rows, queries, 12), k = Draw.Acts(rows, keys, 13), v = Draw.Acts(rows, keys, 14), lastQueries = Matrix.Host(lengths.Length, queries);
            SequenceSpan[] sequences = new SequenceSpan[lengths.Length], steps = new SequenceSpan[lengths.Length];
            int[] last = new int[lengths.Length];
            for (int i = 0, row = 0; i < lengths.Length; row += lengths[i++])
            {
                sequences[i] = new(row, lengths[i], row, lengths[i]);
                steps[i] = new(i, 1, row, lengths[i]);
                last[i] = row + lengths[i] - 1;
            }

            Matrix whole = Matrix.Host(rows, queries), expected = Matrix.Host(lengths.Length, queries), step = Matrix.Host(lengths.Length, queries);
            backend.Transformer.Attention(q, k, v, sequences, shape, whole);
            backend.Transformer.GatherRows(whole, last, expected);
            backend.Transformer.GatherRows(q, last, lastQueries);
            backend.Transformer.Attention(lastQueries, k, v, steps, shape, step);
            Assert.Equal(Draw.Floats(expected), Draw.Floats(step));
        }
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void Gated_mlps_match(string name)
    {
        foreach ((int rows, int width, int inner) in new[] { (1, 64, 112), (23, 40, 300), (130, 128, 512), (49, 37, 29), (0, 8, 8) })
        {
            foreach (Activation activation in Enum.GetValues<Activation>())
            {
                ElementType type = activation == Activation.Silu ? ElementType.Float32 : ElementType.BFloat16;
                Matrix x = Draw.Acts(rows, width, 15);
                Matrix gate = Draw.Weights(inner, width, 16, type), up = Draw.Weights(inner, width, 17, type), down = Draw.Weights(width, inner, 18, type);
                Check(name, Tolerance.MatMul, rows, width, (k, result) => k.GatedMlp(x, gate, up, down, activation, result));
            }
        }
    }

    [Theory]
    [MemberData(nameof(BackendsUnderTest.Names), MemberType = typeof(BackendsUnderTest))]
    public void A_row_of_an_mlp_gives_the_same_bits_alone_and_in_a_batch(string name)
    {
        using IBackend backend = BackendsUnderTest.Create(name);
        Matrix x = Draw.Acts(60, 40, 19), gate = Draw.Weights(300, 40, 20), up = Draw.Weights(300, 40, 21), down = Draw.Weights(40, 300, 22);
        Matrix whole = Matrix.Host(60, 40), alone = Matrix.Host(1, 40);
        backend.Transformer.GatedMlp(x, gate, up, down, Activation.GeluTanh, whole);
        backend.Transformer.GatedMlp(x.SliceRows(57, 1), gate, up, down, Activation.GeluTanh, alone);
        Assert.Equal(Draw.Floats(alone), Draw.Floats(whole.SliceRows(57, 1)));
    }

    /// <summary>Weights too many to be packed at once: the inner width is cut, and the sum goes on where it stopped.</summary>
    [Theory]
    [InlineData("vector-3")]
    [InlineData("avx2-3")]
    public void A_wide_mlp_gives_the_same_bits_for_many_rows_as_for_one(string name)
    {
        const int Width = 4096, Inner = 1400, Rows = 24;
        using IBackend backend = BackendsUnderTest.Create(name);
        Matrix x = Draw.Acts(Rows, Width, 25), gate = Draw.Cheap(Inner, Width, 26), up = Draw.Cheap(Inner, Width, 27), down = Draw.Cheap(Width, Inner, 28);
        Matrix whole = Matrix.Host(Rows, Width), alone = Matrix.Host(1, Width);
        backend.Transformer.GatedMlp(x, gate, up, down, Activation.GeluTanh, whole);
        backend.Transformer.GatedMlp(x.SliceRows(13, 1), gate, up, down, Activation.GeluTanh, alone);
        Assert.Equal(Draw.Floats(alone), Draw.Floats(whole.SliceRows(13, 1)));
        Assert.Contains(Draw.Floats(alone), v => v != 0);
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void Soft_caps_are_good_to_a_few_units_in_the_last_place(string name)
    {
        using IBackend backend = BackendsUnderTest.Create(name);
        Matrix x = Matrix.Host(1, 4003);
        for (int i = 0; i < x.Columns; i++)
        {
            x.Row(0)[i] = (float)(Math.Sign(i - 2001) * Math.Pow(10, -4 + 5.2 * Math.Abs(i - 2001) / 2001.0));
        }

        float[] given = Draw.Floats(x);
        backend.Transformer.SoftCap(x, 1);
        for (int i = 0; i < given.Length; i++)
        {
            double wanted = Math.Tanh(given[i]);
            float size = (float)Math.Abs(wanted);
            Assert.True(Math.Abs(x.Row(0)[i] - wanted) <= 4 * (MathF.BitIncrement(size) - size), $"tanh {given[i]} = {x.Row(0)[i]}, wanted {wanted}");
        }
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void Activations_are_good_in_their_tails_too(string name)
    {
        using IBackend backend = BackendsUnderTest.Create(name);
        Matrix x = Matrix.Host(3001, 1), one = Matrix.Host(1, 1), up = Matrix.Host(3001, 1), result = Matrix.Host(3001, 1);
        one.Row(0)[0] = 1;
        for (int i = 0; i < x.Rows; i++)
        {
            x.Row(i)[0] = (i - 1500) / 150f;
        }

        ReferenceTransformerKernels oracle = new();
        foreach (Activation activation in Enum.GetValues<Activation>())
        {
            backend.Transformer.GatedMlp(x, one, one, one, activation, result);
            oracle.GatedMlp(x, one, one, one, activation, up);
            for (int i = 0; i < x.Rows; i++)
            {
                double wanted = up.Row(i)[0];
                Assert.True(Math.Abs(result.Row(i)[0] - wanted) <= 4e-6 * Math.Abs(wanted) + 1e-12, $"{activation} {x.Row(i)[0]}: {result.Row(i)[0]}, wanted {wanted}");
            }

            // By itself: the same function, without the factor x of the unit weight.
            Check(name, Tolerance.Elementwise, 70, 37, (k, y) =>
            {
                k.Copy(Draw.Acts(70, 37, 30, 3), y);
                k.Activate(y, activation);
            });
        }
    }

    [Theory]
    [MemberData(nameof(BackendsUnderTest.Names), MemberType = typeof(BackendsUnderTest))]
    public void Logits_are_summed_up_in_double(string name)
    {
        using IBackend backend = BackendsUnderTest.Create(name);
        ReferenceTransformerKernels oracle = new();
        foreach (int columns in (int[])[1, 3, 37, 320])
        {
            Matrix p = Draw.Acts(9, columns, 23, 6), q = Draw.Acts(9, columns, 24, 6);
            p.Row(0).Fill(2.5f);
            int[] targets = [.. Enumerable.Range(0, 9).Select(t => t % 4 == 3 ? -1 : t * 5 % columns)];
            double[][] got = [new double[9], new double[9], new double[9]], wanted = [new double[9], new double[9], new double[9]];
            int[] best = new int[9], bestWanted = new int[9];
            backend.Transformer.LogitStatistics(p, targets, got[0], best, got[1]);
            oracle.LogitStatistics(p, targets, wanted[0], bestWanted, wanted[1]);
            backend.Transformer.KlDivergence(p, q, got[2]);
            oracle.KlDivergence(p, q, wanted[2]);
            Assert.Equal(bestWanted, best);
            Assert.Equal(0, best[0]);
            for (int i = 0; i < 27; i++)
            {
                double a = got[i / 9][i % 9], b = wanted[i / 9][i % 9];
                Assert.True(double.IsNaN(b) ? double.IsNaN(a) : Math.Abs(a - b) <= Tolerance.DoubleSums * (1 + Math.Abs(b)), $"{name}, {columns} columns, value {i}: {a}, wanted {b}");
            }
        }
    }

    [Fact]
    public void Kl_by_hand()
    {
        // p = (3/4, 1/4), q = (1/2, 1/2): 3/4 log 3/2 + 1/4 log 1/2.
        Matrix p = Matrix.Host(1, 2), q = Matrix.Host(1, 2);
        p.Row(0)[0] = MathF.Log(3);
        double[] kl = new double[1];
        new ReferenceTransformerKernels().KlDivergence(p, q, kl);
        Assert.Equal(0.75 * Math.Log(1.5) + 0.25 * Math.Log(0.5), kl[0], 1e-7);
    }

    [Theory]
    [MemberData(nameof(BackendsUnderTest.Names), MemberType = typeof(BackendsUnderTest))]
    public void Shapes_that_do_not_fit_are_refused(string name)
    {
        using IBackend backend = BackendsUnderTest.Create(name);
        ITransformerKernels k = backend.Transformer;
        Matrix x = Draw.Acts(4, 8, 1), w = Draw.Acts(6, 7, 1), row = Draw.Acts(1, 8, 1);
        Assert.Throws<ShapeException>(() => k.MatMul(x, w, Matrix.Host(4, 6)));
        Assert.Throws<ShapeException>(() => k.Embed([9], w, 1, Matrix.Host(1, 7)));
        Assert.Throws<ShapeException>(() => k.RmsNorm(x, w, 1, 1e-6f, x));
        Assert.Throws<ShapeException>(() => k.Rope(x, 3, [0, 1, 2, 3], x));
        Assert.Throws<ShapeException>(() => k.LayerNorm(x, row, w, 1e-6f, x));
        Assert.Throws<ShapeException>(() => k.AddBias(w, x));
        Assert.Throws<ShapeException>(() => k.Multiply(w, x));
        Assert.Throws<ShapeException>(() => k.Attention(x, x, x, [new(0, 5, 0, 5)], new(2, 2, 4, 1, 0, 0), x));
        Assert.Throws<ShapeException>(() => k.GatedMlp(x, w, w, w, Activation.Silu, x));
        Assert.Throws<ShapeException>(() => k.GatherRows(x, [4], row));
    }

    /// <summary>Runs an operation on the oracle and on a backend, from the same bits in the result, which are checked to be those of one thread too.</summary>
    static void Check(string name, double allowed, int rows, int columns, Action<ITransformerKernels, Matrix> run)
    {
        using IBackend backend = BackendsUnderTest.Create(name), single = BackendsUnderTest.Create(name[..name.IndexOf('-', StringComparison.Ordinal)] + "-1");
        Matrix got = Draw.Acts(rows, columns, 99), alone = Draw.Acts(rows, columns, 99), wanted = Draw.Acts(rows, columns, 99);
        run(backend.Transformer, got);
        run(single.Transformer, alone);
        run(new ReferenceTransformerKernels(), wanted);
        float[] a = Draw.Floats(got), b = Draw.Floats(wanted);
        Assert.Equal(Draw.Floats(alone), a);
        double largest = b.Length == 0 ? 0 : b.Max(Math.Abs);
        for (int i = 0; i < a.Length; i++)
        {
            Assert.True(Math.Abs((double)a[i] - b[i]) <= allowed * largest, $"{name} [{rows}, {columns}] at {i}: {a[i]}, wanted {b[i]}, largest {largest}");
        }
    }

    static class Draw
    {
        public static Matrix Of(params float[] row)
        {
            Matrix matrix = Matrix.Host(1, row.Length);
            row.CopyTo(matrix.Row(0));
            return matrix;
        }

        public static Matrix Acts(int rows, int columns, int seed, double size = 1)
        {
            Random random = new(seed * 1000 + columns);
            // A stride larger than the width, as slices of wider matrices have.
            Matrix matrix = Matrix.Host(Math.Max(rows, 1), columns + 3).SliceColumns(2, columns).SliceRows(0, rows);
            for (int r = 0; r < rows; r++)
            {
                foreach (ref float value in matrix.Row(r))
                {
                    value = (float)(size * Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble()));
                }
            }

            return matrix;
        }

        public static unsafe Matrix Weights(int rows, int columns, int seed, ElementType type = ElementType.Float32)
        {
            Matrix drawn = Acts(rows, columns, seed, 0.3);
            if (type == ElementType.Float32)
            {
                return drawn;
            }

            Matrix matrix = Matrix.Host(rows, columns, type);
            ushort* bits = (ushort*)((HostBuffer)matrix.Buffer).Pointer;
            for (int i = 0; i < rows * columns; i++)
            {
                bits[i] = BFloat16.FromSingle(drawn.Row(i / columns)[i % columns]);
            }

            return matrix;
        }

        /// <summary>Many bfloat16 weights quickly: between -1/16 and 1/16, by a linear congruence.</summary>
        public static Matrix Cheap(int rows, int columns, uint seed)
        {
            Matrix matrix = Matrix.Host(rows, columns, ElementType.BFloat16);
            foreach (ref ushort bits in ((HostBuffer)matrix.Buffer).Span<ushort>())
            {
                seed = seed * 1664525 + 1013904223;
                bits = BFloat16.FromSingle(((int)(seed >> 16) - 32768) / 524288f);
            }

            return matrix;
        }

        public static float[] Floats(Matrix matrix)
        {
            float[] values = new float[matrix.Rows * matrix.Columns];
            HostCopies.Download(matrix, values);
            return values;
        }
    }
}
