using Diffract.Compute;
using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Compute.Reference;

namespace Diffract.Kernels.Tests.Crosscoder;

/// <summary>Which pairs become active: exactly those of the plain formulas, ties included.</summary>
public sealed class SelectionTests
{
    static readonly ReferenceCrosscoderKernels Oracle = new ReferenceCrosscoderKernels();

    static readonly (int Tokens, int Latents, int[] Widths)[] Shapes =
    [
        (1, 1, [1]), (7, 5, [3, 2]), (33, 49, [8, 9]), (64, 96, [20, 20, 13]), (50, 130, [150, 130]), (40, 1700, [4, 4]),
    ];

    [Theory]
    [MemberData(nameof(BackendsUnderTest.CpuNames), MemberType = typeof(BackendsUnderTest))]
    public void Every_rule_keeps_the_pairs_of_the_plain_formula(string name)
    {
        using IBackend backend = BackendsUnderTest.Create(name);
        foreach ((int tokens, int latents, int[] widths) in Shapes)
        {
            CrosscoderCase given = new(tokens, latents, widths, exact: true, seed: tokens + latents);
            foreach (Selection selection in Rules(tokens, latents))
            {
                using SparseCode wanted = given.NewCode(), got = given.NewCode();
                Encode(Oracle, given, given.Acts_BE, selection, wanted);
                Encode(backend.Crosscoder, given, given.Acts_BE, selection, got);
                Check.SamePairs(wanted, got);
            }
        }
    }

    [Theory]
    [MemberData(nameof(BackendsUnderTest.CpuNames), MemberType = typeof(BackendsUnderTest))]
    public void The_last_batch_never_shows_in_the_next_selection(string name)
    {
        using IBackend backend = BackendsUnderTest.Create(name);
        CrosscoderCase given = new(40, 1700, [5, 4], exact: true, seed: 3);
        Matrix weak_BE = CrosscoderCase.Copy(given.Acts_BE);
        for (int b = 0; b < weak_BE.Rows; b++)
        {
            foreach (ref float x in weak_BE.Row(b))
            {
                x /= 64;
            }
        }

        using SparseCode wanted = given.NewCode(), got = given.NewCode();
        // A cut far too high, far too low, a batch without enough pairs, other counts.
        (Matrix Acts, int Count)[] batches = [(given.Acts_BE, 400), (weak_BE, 400), (given.Acts_BE, 20), (weak_BE, 60000), (weak_BE, 1), (given.Acts_BE, 0), (given.Acts_BE, 300)];
        foreach ((Matrix acts_BE, int count) in batches)
        {
            Encode(Oracle, given, acts_BE, Selection.BatchTopK(count), wanted);
            Encode(backend.Crosscoder, given, acts_BE, Selection.BatchTopK(count), got);
            Check.SamePairs(wanted, got);
        }
    }

    [Theory]
    [MemberData(nameof(BackendsUnderTest.Names), MemberType = typeof(BackendsUnderTest))]
    public void Fewer_positive_pairs_than_asked_for_are_all_kept(string name)
    {
        using IBackend backend = BackendsUnderTest.Create(name);
        CrosscoderCase given = new(30, 60, [6, 6], exact: true, seed: 9);
        using SparseCode all = given.NewCode(), got = given.NewCode();
        Encode(Oracle, given, given.Acts_BE, Selection.Positive, all);
        Encode(backend.Crosscoder, given, given.Acts_BE, Selection.BatchTopK(30 * 60), got);
        Assert.InRange(all.Pairs, 1, 30 * 60 - 1);
        Check.SamePairs(all, got);
    }

    [Theory]
    [MemberData(nameof(BackendsUnderTest.CpuNames), MemberType = typeof(BackendsUnderTest))]
    public void Dead_latents_are_ranked_token_by_token(string name)
    {
        using IBackend backend = BackendsUnderTest.Create(name);
        foreach ((int tokens, int latents, int[] widths) in Shapes)
        {
            CrosscoderCase given = new(tokens, latents, widths, exact: true, seed: 2 * tokens + latents);
            int[] dead = [.. Enumerable.Range(0, latents).Where(j => j % 3 != 1)];
            foreach (int perToken in new[] { 1, 3, 20, latents })
            {
                using SparseCode wanted = given.NewCode(), got = given.NewCode();
                LatentParameters p = given.Parameters;
                Oracle.SelectDead(given.Acts_BE, p.WEnc_LE, p.BEnc_L, p.Scale_L, dead, perToken, wanted);
                backend.Crosscoder.SelectDead(given.Acts_BE, p.WEnc_LE, p.BEnc_L, p.Scale_L, dead, perToken, got);
                Check.SamePairs(wanted, got);
            }
        }
    }

    [Theory]
    [MemberData(nameof(BackendsUnderTest.CpuNames), MemberType = typeof(BackendsUnderTest))]
    public void Sparse_and_dense_codes_have_the_same_bits(string name)
    {
        using IBackend backend = BackendsUnderTest.Create(name);
        CrosscoderCase given = new(65, 101, [150, 133], exact: false, seed: 4);
        using SparseCode code = given.NewCode();
        Encode(backend.Crosscoder, given, given.Acts_BE, Selection.Positive, code);
        Matrix code_BL = Matrix.Host(65, 101);
        backend.Crosscoder.EncodeDense(given.Acts_BE, given.Parameters.WEnc_LE, given.Parameters.BEnc_L, code_BL);
        int positive = 0;
        for (int j = 0; j < 101; j++)
        {
            for (int i = code.LatentStart.Span<int>()[j]; i < code.LatentStart.Span<int>()[j + 1]; i++)
            {
                Assert.Equal(code_BL.Row(code.PairToken.Span<int>()[i])[j], code.PairValue.Span<float>()[i]);
            }
        }

        for (int b = 0; b < 65; b++)
        {
            foreach (float p in code_BL.Row(b))
            {
                positive += p > 0 ? 1 : 0;
            }
        }

        Assert.Equal(positive, code.Pairs);
    }

    [Theory]
    [MemberData(nameof(BackendsUnderTest.Names), MemberType = typeof(BackendsUnderTest))]
    public void Shapes_that_do_not_fit_are_refused(string name)
    {
        using IBackend backend = BackendsUnderTest.Create(name);
        CrosscoderCase given = new(8, 6, [3, 3], exact: true, seed: 1);
        using SparseCode small = new(7, 6, 16);
        Assert.Throws<ShapeException>(() => Encode(backend.Crosscoder, given, given.Acts_BE, Selection.Positive, small));
        using SparseCode code = given.NewCode();
        Assert.Throws<ShapeException>(() => Encode(backend.Crosscoder, given, given.Acts_BE.SliceColumns(0, 5), Selection.Positive, code));
        Assert.Throws<ShapeException>(() => Encode(backend.Crosscoder, given, given.Acts_BE, Selection.AboveEach(Matrix.Host(1, 5)), code));
    }

    static void Encode(ICrosscoderKernels kernels, CrosscoderCase given, Matrix acts_BE, Selection selection, SparseCode code)
        => kernels.EncodeSelect(acts_BE, given.Parameters.WEnc_LE, given.Parameters.BEnc_L, given.Parameters.Scale_L, selection, code);

    static IEnumerable<Selection> Rules(int tokens, int latents)
    {
        yield return Selection.Positive;
        yield return Selection.Above(0);
        yield return Selection.Above(-1);
        yield return Selection.Above(0.75f);
        yield return Selection.Above(1e9f);
        Matrix threshold_L = Matrix.Host(1, latents);
        for (int j = 0; j < latents; j++)
        {
            threshold_L.Row(0)[j] = j % 7 / 4f;
        }

        yield return Selection.AboveEach(threshold_L);
        foreach (int count in new[] { 1, tokens, 3 * tokens, tokens * latents / 3 })
        {
            yield return Selection.BatchTopK(count);
        }
    }
}
