using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Compute.Reference;

namespace Diffract.Kernels.Tests.Crosscoder;

/// <summary>The ops of the variants against the oracle: code norms, decoupled codes, masks, unit decoders, centred inputs.</summary>
public sealed class VariantContract
{
    static readonly ReferenceCrosscoderKernels Oracle = new();

    static readonly (int Tokens, int Latents, int[] Widths)[] Shapes = [(1, 1, [1]), (9, 17, [5, 3]), (40, 70, [33, 40]), (70, 50, [64, 80, 7]), (300, 6, [70, 70])];

    [Theory]
    [MemberData(nameof(BackendsUnderTest.CpuNames), MemberType = typeof(BackendsUnderTest))]
    public void Decoupled_codes_agree_pair_by_pair(string name)
    {
        using IBackend backend = BackendsUnderTest.Create(name);
        foreach ((int tokens, int latents, int[] widths) in Shapes)
        {
            CrosscoderCase given = new(tokens, latents, widths, exact: true, seed: tokens + latents);
            Matrix norms_LM = ExactNorms(given);
            foreach (Selection[] rules in Rules(tokens, latents, widths.Length))
            {
                using SparseCode wanted = given.NewCode(), got = given.NewCode();
                LatentParameters p = given.Parameters;
                for (int run = 0; run < 2; run++)
                {
                    Oracle.EncodeSelectByModel(given.Acts_BE, p.WEnc_LE, p.BEnc_L, norms_LM, given.Offsets, rules, wanted);
                    backend.Crosscoder.EncodeSelectByModel(given.Acts_BE, p.WEnc_LE, p.BEnc_L, norms_LM, given.Offsets, rules, got);
                    Check.SamePairs(wanted, got);
                    Assert.Equal(Check.Ints(wanted.PairModels!, wanted.Pairs), Check.Ints(got.PairModels!, got.Pairs));
                    Assert.Equal(wanted.SmallestByModel, got.SmallestByModel);
                    Assert.DoesNotContain(0, Check.Ints(got.PairModels!, got.Pairs));
                }

                backend.Crosscoder.EncodeSelect(given.Acts_BE, p.WEnc_LE, p.BEnc_L, p.Scale_L, Selection.Positive, got);
                Assert.Null(got.ModelOffsets);
            }
        }
    }

    [Theory]
    [MemberData(nameof(BackendsUnderTest.CpuNames), MemberType = typeof(BackendsUnderTest))]
    public void Decoupled_codes_are_read_model_by_model(string name)
        => ForAll(name, (kernels, given) =>
        {
            using SparseCode code = given.NewCode();
            LatentParameters p = given.Parameters;
            Selection[] rules = [.. Enumerable.Range(0, given.Offsets.Length - 1).Select(m => Selection.BatchTopK((m + 1) * given.Tokens))];
            Oracle.EncodeSelectByModel(given.Acts_BE, p.WEnc_LE, p.BEnc_L, p.Norms_LM, given.Offsets, rules, code);
            Matrix wanted_BE = Matrix.Host(given.Tokens, given.E), got_BE = given.Fill(given.Tokens, given.E, padding: 2);
            Oracle.Decode(code, p.WDec_LE, given.BDec_E, wanted_BE);
            kernels.Decode(code, p.WDec_LE, given.BDec_E, got_BE);
            Check.Near(wanted_BE, got_BE, Tolerance.MatMul, "reconstruction");

            Matrix grad_BE = given.Fill(given.Tokens, given.E, padding: 1);
            kernels.CodeGradient(code, grad_BE, p.WDec_LE, p.Scale_L, 0.02f);
            Matrix got = CrosscoderCase.Copy(Check.Row(code.PairGradient, code.Pairs));
            Oracle.CodeGradient(code, grad_BE, p.WDec_LE, p.Scale_L, 0.02f);
            Check.Near(Check.Row(code.PairGradient, code.Pairs), got, Tolerance.MatMul, "code gradient");
            Compare(kernels, given, [new(code, grad_BE)], null, false);
        });

    [Theory]
    [MemberData(nameof(BackendsUnderTest.CpuNames), MemberType = typeof(BackendsUnderTest))]
    public void Masks_and_unit_decoders_shape_the_update(string name)
        => ForAll(name, (kernels, given) =>
        {
            using SparseCode code = given.NewCode();
            LatentParameters p = given.Parameters;
            Oracle.EncodeSelect(given.Acts_BE, p.WEnc_LE, p.BEnc_L, p.Scale_L, Selection.Positive, code);
            Matrix grad_BE = given.Fill(given.Tokens, given.E);
            Oracle.CodeGradient(code, grad_BE, p.WDec_LE, p.Scale_L, 0.01f);
            using LatentMasks masks = Masks(given);
            LatentTerm[] terms = [new(code, grad_BE)];
            Compare(kernels, given, terms, masks, false);
            Compare(kernels, given, terms, null, true);
            Compare(kernels, given, [], null, true);

            Matrix pull_LM = given.Fill(given.Latents, given.Offsets.Length - 1);
            DenseTerm term = new(given.Fill(given.Tokens, given.Latents), given.Fill(given.Tokens, given.Latents), given.Fill(1, given.Latents), grad_BE);
            foreach ((LatentMasks? mask, bool unit) in new[] { (masks, false), (null, true), (masks, true) })
            {
                LatentParameters wanted = given.Copy(pull_LM) with { Masks = mask, UnitDecoder = unit }, got = given.Copy(pull_LM) with { Masks = mask, UnitDecoder = unit };
                Check.Near(Oracle.GradientSquaresDense(term, given.Acts_BE, wanted), kernels.GradientSquaresDense(term, given.Acts_BE, got), Tolerance.MatMul, "dense gradient squares");
                Oracle.UpdateLatentsDense(term, given.Acts_BE, wanted, AdamStep.At(3, 1e-3, clip: 0.5));
                kernels.UpdateLatentsDense(term, given.Acts_BE, got, AdamStep.At(3, 1e-3, clip: 0.5));
                CrosscoderContract.Near(wanted, got);
            }
        });

    [Theory]
    [MemberData(nameof(BackendsUnderTest.Names), MemberType = typeof(BackendsUnderTest))]
    public void Masked_weights_that_start_at_0_stay_there(string name)
    {
        using IBackend backend = BackendsUnderTest.Create(name);
        CrosscoderCase given = new(20, 12, [9, 7], exact: false, seed: 3);
        LatentParameters p = given.Copy() with { Masks = Masks(given) };
        foreach (Matrix moment in (Matrix[])[p.EncM_LE, p.EncV_LE, p.DecM_LE, p.DecV_LE])
        {
            for (int j = 0; j < 12; j++)
            {
                moment.Row(j).Clear();
            }
        }

        for (int j = 0; j < 12; j++)
        {
            for (int m = 0; m < 2; m++)
            {
                Range columns = given.Offsets[m]..given.Offsets[m + 1];
                (p.Masks.Reads(j, m) ? [] : p.WEnc_LE.Row(j)[columns]).Clear();
                (p.Masks.Writes(j, m) ? [] : p.WDec_LE.Row(j)[columns]).Clear();
            }
        }

        using SparseCode code = given.NewCode();
        Matrix grad_BE = given.Fill(20, 16);
        for (int t = 1; t <= 3; t++)
        {
            backend.Crosscoder.EncodeSelect(given.Acts_BE, p.WEnc_LE, p.BEnc_L, p.Scale_L, Selection.Positive, code);
            backend.Crosscoder.CodeGradient(code, grad_BE, p.WDec_LE, p.Scale_L, 0.1f);
            backend.Crosscoder.UpdateLatents([new(code, grad_BE)], given.Acts_BE, p, AdamStep.At(t, 1e-2, 1));
        }

        int off = 0;
        for (int j = 0; j < 12; j++)
        {
            for (int m = 0; m < 2; m++)
            {
                Range columns = given.Offsets[m]..given.Offsets[m + 1];
                off += (p.Masks.Reads(j, m) ? 0 : 1) + (p.Masks.Writes(j, m) ? 0 : 1);
                Assert.Equal(!p.Masks.Reads(j, m), p.WEnc_LE.Row(j)[columns].IndexOfAnyExcept(0f) < 0);
                Assert.Equal(!p.Masks.Writes(j, m), p.WDec_LE.Row(j)[columns].IndexOfAnyExcept(0f) < 0);
            }
        }

        Assert.True(off >= 8, $"only {off} masked slices");
        p.Masks.Dispose();
    }

    [Theory]
    [MemberData(nameof(BackendsUnderTest.Names), MemberType = typeof(BackendsUnderTest))]
    public void Code_norms_are_those_of_the_formulas(string name)
    {
        using IBackend backend = BackendsUnderTest.Create(name);
        CrosscoderCase given = new(1, 2, [2, 2], exact: true, seed: 1);
        LatentParameters p = given.Parameters;
        // Norms 5 and 12: their sum 17, the length of both together 13.
        ((float[])[3, 4, 0, 12]).CopyTo(p.WDec_LE.Row(0));
        (CodeNorm Norm, float Wanted)[] all =
        [
            (CodeNormKind.Crosscoder, 17), (CodeNormKind.Sae, 13), (CodeNormKind.Mixed, 14.7f), (new CodeNorm(CodeNormKind.Mixed, 2, 0.5), 34.5f),
            (CodeNormKind.None, 1), (CodeNormKind.Decoupled, 17),
        ];
        foreach ((CodeNorm norm, float wanted) in all)
        {
            backend.Crosscoder.DecoderNorms(p with { CodeNorm = norm });
            Assert.Equal(wanted, p.Scale_L.Row(0)[0], 5);
            Assert.Equal(norm.Kind == CodeNormKind.None ? 1 : 0, p.Scale_L.Row(0)[1]);
            Assert.Equal([5f, 12f], p.Norms_LM.Row(0).ToArray());
        }
    }

    [Theory]
    [MemberData(nameof(BackendsUnderTest.CpuNames), MemberType = typeof(BackendsUnderTest))]
    public void Centring_and_scaling_agree(string name)
        => ForAll(name, (kernels, given) =>
        {
            Matrix before_E = given.Fill(1, given.E), factor_E = given.Fill(1, given.E), after_E = given.Fill(1, given.E);
            foreach ((Matrix? before, Matrix? factor, Matrix? after) in ((Matrix?, Matrix?, Matrix?)[])[(before_E, null, null), (before_E, factor_E, null), (null, factor_E, after_E)])
            {
                Matrix wanted = Matrix.Host(given.Tokens, given.E), got = given.Fill(given.Tokens, given.E, padding: 3);
                Oracle.Affine(given.Acts_BE, before, factor, after, wanted);
                kernels.Affine(given.Acts_BE, before, factor, after, got);
                Check.Near(wanted, got, Tolerance.Elementwise, "affine");
            }

            using SparseCode code = given.NewCode();
            LatentParameters p = given.Parameters;
            Oracle.EncodeSelect(given.Acts_BE, p.WEnc_LE, p.BEnc_L, p.Scale_L, Selection.Positive, code);
            Matrix grad_BE = given.Fill(given.Tokens, given.E);
            Oracle.CodeGradient(code, grad_BE, p.WDec_LE, p.Scale_L, 0);
            Matrix wantedSum = CrosscoderCase.Copy(before_E), gotSum = CrosscoderCase.Copy(before_E);
            Oracle.CentreGradient([new(code, grad_BE), new(code, grad_BE)], p.WEnc_LE, wantedSum);
            kernels.CentreGradient([new(code, grad_BE), new(code, grad_BE)], p.WEnc_LE, gotSum);
            Check.Near(wantedSum, gotSum, Tolerance.Elementwise, "centre gradient");
        });

    static void Compare(ICrosscoderKernels kernels, CrosscoderCase given, LatentTerm[] terms, LatentMasks? masks, bool unit)
    {
        foreach (CodeNormKind norm in Enum.GetValues<CodeNormKind>())
        {
            Matrix? pull_LM = norm == CodeNormKind.Sae ? given.Fill(given.Latents, given.Offsets.Length - 1) : null;
            LatentParameters wanted = given.Copy(pull_LM) with { CodeNorm = norm, Masks = masks, UnitDecoder = unit };
            LatentParameters got = given.Copy(pull_LM) with { CodeNorm = norm, Masks = masks, UnitDecoder = unit };
            double squares = Oracle.GradientSquares(terms, given.Acts_BE, wanted);
            Check.Near(squares, kernels.GradientSquares(terms, given.Acts_BE, got), Tolerance.MatMul, "gradient squares");
            AdamStep adam = AdamStep.At(3, 1e-3, clip: 0.37);
            Oracle.UpdateLatents(terms, given.Acts_BE, wanted, adam);
            kernels.UpdateLatents(terms, given.Acts_BE, got, adam);
            CrosscoderContract.Near(wanted, got);
        }
    }

    /// <summary>Latents in turn: all models, the first only, the last only to read and the first only to write.</summary>
    static LatentMasks Masks(CrosscoderCase given)
    {
        int models = given.Offsets.Length - 1;
        LatentMasks masks = new(given.Latents, models);
        for (int j = 0; j < given.Latents; j++)
        {
            if (j % 3 > 0)
            {
                masks.Reads_L.Span<int>()[j] = j % 3 == 1 ? 1 : 1 << (models - 1);
                masks.Writes_L.Span<int>()[j] = 1;
            }
        }

        return masks;
    }

    static Matrix ExactNorms(CrosscoderCase given)
    {
        Matrix norms_LM = Matrix.Host(given.Latents, given.Offsets.Length);
        norms_LM = norms_LM.SliceColumns(0, given.Offsets.Length - 1);
        for (int j = 0; j < given.Latents; j++)
        {
            for (int m = 0; m < norms_LM.Columns; m++)
            {
                norms_LM.Row(j)[m] = ((7 * j) + (3 * m)) % 5 / 4f;
            }
        }

        return norms_LM;
    }

    static IEnumerable<Selection[]> Rules(int tokens, int latents, int models)
    {
        yield return [.. Enumerable.Repeat(Selection.BatchTopK(tokens), models)];
        yield return [.. Enumerable.Repeat(Selection.BatchTopK(tokens * latents / 3), models)];
        yield return [.. Enumerable.Range(0, models).Select(m => Selection.Above(0.5f * m))];
        yield return [.. Enumerable.Repeat(Selection.Positive, models)];
    }

    static void ForAll(string name, Action<ICrosscoderKernels, CrosscoderCase> check)
    {
        using IBackend backend = BackendsUnderTest.Create(name);
        foreach ((int tokens, int latents, int[] widths) in Shapes)
        {
            CrosscoderCase given = new(tokens, latents, widths, exact: false, seed: 7 * tokens + latents);
            Oracle.DecoderNorms(given.Parameters);
            check(backend.Crosscoder, given);
        }
    }
}
