using System.Runtime.InteropServices;
using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Cpu;

namespace Diffract.Kernels.Tests.Crosscoder;

/// <summary>Looking for the pairs in integers first changes nothing: the same pairs with the same bits as without, on data that tries to break the bounds.</summary>
public sealed class ScreeningTests
{
    static readonly (int Tokens, int Latents, int E)[] Shapes = [(1, 1, 1), (17, 50, 7), (40, 97, 64), (150, 300, 130), (33, 60, 1031)];

    public static TheoryData<string> Paths => new("vector", "avx2", "avx512");

    [Theory]
    [MemberData(nameof(Paths))]
    public void Random_rows_give_the_same_bits(string path)
        => Same(path, (random, matrix) => Each(matrix, (_, _) => (float)(random.NextDouble() * 2 - 1)));

    [Theory]
    [MemberData(nameof(Paths))]
    public void One_dimension_a_thousand_times_as_large_gives_the_same_bits(string path)
        => Same(path, (random, matrix) => Each(matrix, (_, c) => (float)((random.NextDouble() * 2 - 1) * (c == matrix.Columns / 2 ? 1000 : 1))));

    /// <summary>Few different numbers, all products whole: scores are equal by the hundred, at the cut too.</summary>
    [Theory]
    [MemberData(nameof(Paths))]
    public void Ties_give_the_same_bits(string path)
        => Same(path, (random, matrix) => Each(matrix, (_, _) => random.Next(-1, 2)));

    /// <summary>Sums that cancel all but completely: what is left is rounding.</summary>
    [Theory]
    [MemberData(nameof(Paths))]
    public void Cancelling_sums_give_the_same_bits(string path)
        => Same(path, (random, matrix) => Each(matrix, (r, c) => (float)((c % 2 == 0 ? 1 : -1) * (1 + r % 3) + 1e-6 * random.NextDouble())));

    [Theory]
    [MemberData(nameof(Paths))]
    public void Rows_of_very_different_length_give_the_same_bits(string path)
        => Same(path, (random, matrix) => Each(matrix, (r, _) => (float)((random.NextDouble() * 2 - 1) * Math.Pow(10, (r % 31) - 15))));

    [Theory]
    [MemberData(nameof(Paths))]
    public void Zero_rows_and_denormal_numbers_give_the_same_bits(string path)
        => Same(path, (random, matrix) => Each(matrix, (r, c) => (r % 4) switch
        {
            0 => 0,
            1 => float.Epsilon * random.Next(-1000, 1000),
            2 => c == 0 ? 1e-30f : 1e-38f * random.Next(-9, 10),
            _ => (float)(random.NextDouble() * 2 - 1),
        }));

    /// <summary>Products beyond float32, infinities, NaN: the bounds do not hold, and the call is answered without them.</summary>
    [Theory]
    [MemberData(nameof(Paths))]
    public void Numbers_that_leave_float32_give_the_same_bits(string path)
    {
        Same(path, (random, matrix) => Each(matrix, (r, _) => (float)((random.NextDouble() * 2 - 1) * (r % 5 == 0 ? 1e25 : 1))));
        Same(path, (random, matrix) => Each(matrix, (r, c) => r == 3 && c == 2 ? float.PositiveInfinity : r == 5 && c == 0 ? float.NaN : (float)(random.NextDouble() * 2 - 1)));
    }

    /// <summary>A code norm of 0 never passes; tiny and huge ones move the floor of a latent far away.</summary>
    [Theory]
    [MemberData(nameof(Paths))]
    public void Code_norms_of_any_size_give_the_same_bits(string path)
        => Same(path, (random, matrix) => Each(matrix, (_, _) => (float)(random.NextDouble() * 2 - 1)), j => (j % 5) switch
        {
            0 => 0,
            1 => 1e-20f,
            2 => 1e20f,
            3 => float.Epsilon,
            _ => 1,
        });

    /// <summary>The widest and the longest that a product can be: no integer sum may overflow.</summary>
    [Fact]
    public void Equal_rows_of_full_length_do_not_overflow()
    {
        using CpuBackend plain = new(CpuPaths.Best, 1, ScreeningMode.Off), screened = new(CpuPaths.Best, 1, ScreeningMode.On);
        foreach (int width in (int[])[2, 1000, 9216])
        {
            Matrix acts_BE = Matrix.Host(20, width), w_LE = Matrix.Host(30, width), bias_L = Matrix.Host(1, 30), scale_L = Matrix.Host(1, 30);
            Each(acts_BE, (b, c) => b % 2 == 0 ? 1 : c == 1 ? 1e4f : 0.5f);
            Each(w_LE, (j, c) => (j % 4 == 0 ? -1 : 1) * (j % 3 == 0 ? 1 : c == 1 ? 1e4f : 0.5f));
            scale_L.Row(0).Fill(1);
            Compare(plain, screened, acts_BE, w_LE, bias_L, scale_L, Selection.Above(0.25f));
            Compare(plain, screened, acts_BE, w_LE, bias_L, scale_L, Selection.BatchTopK(77));
        }
    }

    static void Same(string name, Action<Random, Matrix> fill, Func<int, float>? scale = null)
    {
        CpuPath path = CpuPaths.Parse(name)!.Value;
        Assert.SkipWhen(path == CpuPath.Avx2 && !System.Runtime.Intrinsics.X86.Fma.IsSupported, "this processor has no AVX2 with FMA");
        using CpuBackend plain = new(path, 2, ScreeningMode.Off), screened = new(path, 2, ScreeningMode.On);
        foreach ((int tokens, int latents, int width) in Shapes)
        {
            Random random = new(tokens + latents);
            Matrix acts_BE = Matrix.Host(tokens, width + 3).SliceColumns(0, width), w_LE = Matrix.Host(latents, width + 1).SliceColumns(0, width);
            Matrix bias_L = Matrix.Host(1, latents), scale_L = Matrix.Host(1, latents), floor_L = Matrix.Host(1, latents);
            fill(random, acts_BE);
            fill(random, w_LE);
            Each(bias_L, (_, j) => j % 3 == 0 ? 0 : (float)(random.NextDouble() - 0.5));
            Each(scale_L, (_, j) => scale is null ? 0.5f + (j % 4) / 2f : scale(j));
            Each(floor_L, (_, j) => j % 7 == 0 ? 0 : j % 2);
            foreach (int count in (int[])[1, tokens, tokens * latents / 20, tokens * latents])
            {
                Compare(plain, screened, acts_BE, w_LE, bias_L, scale_L, Selection.BatchTopK(count));
            }

            foreach (float threshold in (float[])[0, 1e-30f, 0.3f, 4, 1e8f])
            {
                Compare(plain, screened, acts_BE, w_LE, bias_L, scale_L, Selection.Above(threshold));
            }

            Compare(plain, screened, acts_BE, w_LE, bias_L, scale_L, Selection.AboveEach(floor_L));
        }
    }

    /// <summary>Twice, so that the second selection starts from the cut of the first.</summary>
    static void Compare(CpuBackend plain, CpuBackend screened, Matrix acts_BE, Matrix w_LE, Matrix bias_L, Matrix scale_L, Selection selection)
    {
        using SparseCode wanted = new(acts_BE.Rows, w_LE.Rows, 16), got = new(acts_BE.Rows, w_LE.Rows, 16);
        for (int round = 0; round < 2; round++)
        {
            plain.Crosscoder.EncodeSelect(acts_BE, w_LE, bias_L, scale_L, selection, wanted);
            screened.Crosscoder.EncodeSelect(acts_BE, w_LE, bias_L, scale_L, selection, got);
            Assert.Equal(wanted.Pairs, got.Pairs);
            Assert.Equal(Check.Ints(wanted.LatentStart, wanted.Latents + 1), Check.Ints(got.LatentStart, got.Latents + 1));
            Assert.Equal(Check.Ints(wanted.PairToken, wanted.Pairs), Check.Ints(got.PairToken, got.Pairs));
            Assert.Equal(Bits(wanted), Bits(got));
            Assert.Equal(BitConverter.SingleToInt32Bits(wanted.SmallestScaled), BitConverter.SingleToInt32Bits(got.SmallestScaled));
        }
    }

    static int[] Bits(SparseCode code) => MemoryMarshal.Cast<float, int>(code.PairValue.Span<float>()[..code.Pairs]).ToArray();

    static void Each(Matrix matrix, Func<int, int, float> value)
    {
        for (int r = 0; r < matrix.Rows; r++)
        {
            Span<float> row = matrix.Row(r);
            for (int c = 0; c < row.Length; c++)
            {
                row[c] = value(r, c);
            }
        }
    }
}
