using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Compute.Reference;

namespace Diffract.Kernels.Tests.Crosscoder;

/// <summary>What every backend's <see cref="ICrosscoderKernels"/> must compute, op by op, against the oracle on the same inputs. The oracle itself is held to
/// finite differences (<see cref="WholeStepTests"/>) and to the reference library's golden steps.</summary>
public sealed class CrosscoderContract
{
    static readonly ReferenceCrosscoderKernels Oracle = new ReferenceCrosscoderKernels();

    static readonly (int Tokens, int Latents, int[] Widths, Selection Selection)[] Cases =
    [
        (1, 1, [1], Selection.Positive), (9, 17, [5, 3], Selection.Positive), (40, 70, [33, 40], Selection.BatchTopK(200)), (70, 50, [64, 80, 7], Selection.BatchTopK(900)),
        (31, 300, [16, 16], Selection.Above(2)), (520, 6, [70, 70], Selection.Positive),
    ];

    [Theory]
    [MemberData(nameof(BackendsUnderTest.CpuNames), MemberType = typeof(BackendsUnderTest))]
    public void Encoding_and_decoding_agree(string name)
        => ForAll(name, (kernels, given, code) =>
        {
            LatentParameters p = given.Parameters;
            Matrix wanted_BL = Matrix.Host(given.Tokens, given.Latents), got_BL = given.Fill(given.Tokens, given.Latents, padding: 2);
            Matrix wanted_L = Matrix.Host(1, given.Latents), got_L = given.Fill(1, given.Latents);
            Oracle.EncodeDense(given.Acts_BE, p.WEnc_LE, p.BEnc_L, wanted_BL, wanted_L);
            long active = kernels.EncodeDense(given.Acts_BE, p.WEnc_LE, p.BEnc_L, got_BL, got_L);
            Check.Near(wanted_BL, got_BL, Tolerance.MatMul, "code");
            Check.Near(wanted_L, got_L, Tolerance.MatMul, "sums of the code");
            Assert.Equal(Enumerable.Range(0, given.Tokens).Sum(b => got_BL.Row(b).ToArray().LongCount(f => f > 0)), active);
            Matrix again_BL = given.Fill(given.Tokens, given.Latents);
            Assert.Equal(active, kernels.EncodeDense(given.Acts_BE, p.WEnc_LE, p.BEnc_L, again_BL));
            Assert.Equal(got_BL.Row(given.Tokens - 1).ToArray(), again_BL.Row(given.Tokens - 1).ToArray());

            foreach (Matrix? bias in new Matrix?[] { given.BDec_E, null })
            {
                Matrix wanted_BE = Matrix.Host(given.Tokens, given.E), got_BE = given.Fill(given.Tokens, given.E, padding: 4);
                Oracle.Decode(code, p.WDec_LE, bias, wanted_BE);
                kernels.Decode(code, p.WDec_LE, bias, got_BE);
                Check.Near(wanted_BE, got_BE, Tolerance.MatMul, "reconstruction");
                Oracle.DecodeDense(wanted_BL, p.WDec_LE, bias, wanted_BE);
                kernels.DecodeDense(wanted_BL, p.WDec_LE, bias, got_BE);
                Check.Near(wanted_BE, got_BE, Tolerance.MatMul, "dense reconstruction");
            }
        });

    [Theory]
    [MemberData(nameof(BackendsUnderTest.CpuNames), MemberType = typeof(BackendsUnderTest))]
    public void Losses_and_their_gradients_agree(string name)
        => ForAll(name, (kernels, given, code) =>
        {
            Matrix recon_BE = given.Fill(given.Tokens, given.E);
            // A token that is reconstructed exactly: its gradient is 0, not NaN.
            given.Acts_BE.Row(0).CopyTo(recon_BE.Row(0));
            foreach (bool squared in new[] { false, true })
            {
                Matrix e = Matrix.Host(given.Tokens, given.E), g = Matrix.Host(given.Tokens, given.E);
                Matrix gotE = given.Fill(given.Tokens, given.E, padding: 1), gotG = given.Fill(given.Tokens, given.E, padding: 1);
                ResidualSums wanted = Oracle.Residual(given.Acts_BE, recon_BE, given.Offsets, squared, e, g);
                ResidualSums got = kernels.Residual(given.Acts_BE, recon_BE, given.Offsets, squared, gotE, gotG);
                // The difference of two floats is rounded once to a float before its square is summed in double.
                Check.Near(wanted.NormSum, got.NormSum, Tolerance.Elementwise, "sum of norms");
                Check.Near(wanted.SquareSum, got.SquareSum, Tolerance.Elementwise, "sum of squares");
                Check.Near(e, gotE, Tolerance.Elementwise, "residual");
                Check.Near(g, gotG, Tolerance.Elementwise, "gradient");
                Assert.Equal(got, kernels.Residual(given.Acts_BE, recon_BE, given.Offsets, squared, null, null));
            }

            Matrix wantedAux = Matrix.Host(given.Tokens, given.E), gotAux = given.Fill(given.Tokens, given.E);
            (double squares, double denominator) = Oracle.AuxResidual(given.Acts_BE, recon_BE, 1.0 / 32, wantedAux);
            (double gotSquares, double gotDenominator) = kernels.AuxResidual(given.Acts_BE, recon_BE, 1.0 / 32, gotAux);
            Check.Near(squares, gotSquares, Tolerance.DoubleSums, "aux squares");
            Check.Near(denominator, gotDenominator, Tolerance.DoubleSums, "aux denominator");
            Check.Near(wantedAux, gotAux, Tolerance.Elementwise, "aux gradient");

            Matrix sums = Matrix.Host(1, given.E), gotSums = given.Fill(1, given.E);
            Oracle.ColumnSums(recon_BE, sums);
            kernels.ColumnSums(recon_BE, gotSums);
            Check.Near(sums, gotSums, Tolerance.Elementwise, "column sums");
            Check.Near(Oracle.SumOfSquares(recon_BE), kernels.SumOfSquares(recon_BE), Tolerance.DoubleSums, "sum of squares");
        });

    [Theory]
    [MemberData(nameof(BackendsUnderTest.CpuNames), MemberType = typeof(BackendsUnderTest))]
    public void Code_gradients_agree(string name)
        => ForAll(name, (kernels, given, code) =>
        {
            LatentParameters p = given.Parameters;
            Matrix grad_BE = given.Fill(given.Tokens, given.E, padding: 2);
            Oracle.CodeGradient(code, grad_BE, p.WDec_LE, p.Scale_L, 0.01f);
            Matrix wanted = CrosscoderCase.Copy(Check.Row(code.PairGradient, code.Pairs));
            kernels.CodeGradient(code, grad_BE, p.WDec_LE, p.Scale_L, 0.01f);
            Check.Near(wanted, Check.Row(code.PairGradient, code.Pairs), Tolerance.MatMul, "code gradient");

            Matrix code_BL = given.Fill(given.Tokens, given.Latents, padding: 3);
            Matrix wanted_BL = Matrix.Host(given.Tokens, given.Latents), got_BL = given.Fill(given.Tokens, given.Latents);
            Matrix sums = Matrix.Host(1, given.Latents), gotSums = given.Fill(1, given.Latents);
            Oracle.CodeGradientDense(code_BL, grad_BE, p.WDec_LE, p.Scale_L, 0.01f, wanted_BL, sums);
            kernels.CodeGradientDense(code_BL, grad_BE, p.WDec_LE, p.Scale_L, 0.01f, got_BL, gotSums);
            Check.Near(wanted_BL, got_BL, Tolerance.MatMul, "dense code gradient");
            Check.Near(sums, gotSums, Tolerance.MatMul, "sums of the dense code gradient");

            Oracle.CodeSums(code, sums);
            kernels.CodeSums(code, gotSums);
            Check.Near(sums, gotSums, Tolerance.Elementwise, "code sums");
        });

    [Theory]
    [MemberData(nameof(BackendsUnderTest.CpuNames), MemberType = typeof(BackendsUnderTest))]
    public void One_visit_per_latent_agrees(string name)
        => ForAll(name, (kernels, given, code) =>
        {
            using SparseCode aux = given.NewCode();
            LatentParameters p = given.Parameters;
            Oracle.SelectDead(given.Acts_BE, p.WEnc_LE, p.BEnc_L, p.Scale_L, [.. Enumerable.Range(0, given.Latents).Where(j => j % 2 == 0)], 3, aux);
            Matrix grad_BE = given.Fill(given.Tokens, given.E), auxGrad_BE = given.Fill(given.Tokens, given.E, padding: 1);
            Oracle.CodeGradient(code, grad_BE, p.WDec_LE, p.Scale_L, 0.01f);
            Oracle.CodeGradient(aux, auxGrad_BE, p.WDec_LE, p.Scale_L, 0);
            LatentTerm[][] all = [[new(code, grad_BE)], [new(code, grad_BE), new(aux, auxGrad_BE)], []];
            foreach (LatentTerm[] terms in all)
            {
                foreach (Matrix? pull_LM in new Matrix?[] { null, given.Fill(given.Latents, given.Offsets.Length - 1) })
                {
                    LatentParameters wanted = given.Copy(pull_LM), got = given.Copy(pull_LM);
                    double squares = Oracle.GradientSquares(terms, given.Acts_BE, wanted);
                    Check.Near(squares, kernels.GradientSquares(terms, given.Acts_BE, got), Tolerance.MatMul, "gradient squares");
                    AdamStep adam = AdamStep.At(3, 1e-3, clip: 0.37);
                    Oracle.UpdateLatents(terms, given.Acts_BE, wanted, adam);
                    kernels.UpdateLatents(terms, given.Acts_BE, got, adam);
                    Near(wanted, got);
                }
            }
        });

    [Theory]
    [MemberData(nameof(BackendsUnderTest.CpuNames), MemberType = typeof(BackendsUnderTest))]
    public void Dense_gradients_and_updates_agree(string name)
        => ForAll(name, (kernels, given, code) =>
        {
            Matrix code_BL = given.Fill(given.Tokens, given.Latents), codeGrad_BL = given.Fill(given.Tokens, given.Latents, padding: 2), grad_BE = given.Fill(given.Tokens, given.E);
            Matrix bias = given.Fill(1, given.Latents), enc = given.Fill(given.Latents, given.E);
            DenseTerm term = new(code_BL, codeGrad_BL, bias, grad_BE);
            foreach (Matrix? pull_LM in new Matrix?[] { null, given.Fill(given.Latents, given.Offsets.Length - 1) })
            {
                LatentParameters wanted = given.Copy(pull_LM), got = given.Copy(pull_LM);
                double squares = Oracle.GradientSquaresDense(term, given.Acts_BE, wanted);
                Check.Near(squares, kernels.GradientSquaresDense(term, given.Acts_BE, got), Tolerance.MatMul, "dense gradient squares");
                AdamStep adam = AdamStep.At(3, 1e-3, clip: 0.37);
                Oracle.UpdateLatentsDense(term, given.Acts_BE, wanted, adam);
                kernels.UpdateLatentsDense(term, given.Acts_BE, got, adam);
                Near(wanted, got);
            }

            foreach (double rate in new[] { 0, 1e-3 })
            {
                LatentParameters wanted = given.Copy(), got = given.Copy();
                AdamStep adam = AdamStep.At(1, rate, clip: 1);
                Oracle.UpdateDense(wanted.WEnc_LE, enc, wanted.EncM_LE, wanted.EncV_LE, adam);
                kernels.UpdateDense(got.WEnc_LE, enc, got.EncM_LE, got.EncV_LE, adam);
                Oracle.UpdateDense(wanted.BEnc_L, bias, wanted.BiasM_L, wanted.BiasV_L, adam);
                kernels.UpdateDense(got.BEnc_L, bias, got.BiasM_L, got.BiasV_L, adam);
                Oracle.DecoderNorms(wanted);
                kernels.DecoderNorms(got);
                Near(wanted, got);
            }

            LatentParameters unit = given.Copy() with { CodeNorm = CodeNormKind.None };
            kernels.DecoderNorms(unit);
            Assert.All(unit.Scale_L.Row(0).ToArray(), s => Assert.Equal(1, s));
        });

    /// <summary>One long row is cut among the workers like many short ones.</summary>
    [Theory]
    [MemberData(nameof(BackendsUnderTest.CpuNames), MemberType = typeof(BackendsUnderTest))]
    public void A_long_row_is_summed_and_updated_whole(string name)
    {
        using IBackend backend = BackendsUnderTest.Create(name);
        CrosscoderCase given = new(2, 3, [2], exact: false, seed: 1);
        Matrix w = given.Fill(1, 70001), g = given.Fill(1, 70001), m = given.Fill(1, 70001), v = Matrix.Host(1, 70001);
        Matrix w2 = CrosscoderCase.Copy(w), m2 = CrosscoderCase.Copy(m), v2 = CrosscoderCase.Copy(v);
        Check.Near(Oracle.SumOfSquares(g), backend.Crosscoder.SumOfSquares(g), Tolerance.DoubleSums, "sum of squares");
        Oracle.UpdateDense(w, g, m, v, AdamStep.At(1, 1e-2, 1));
        backend.Crosscoder.UpdateDense(w2, g, m2, v2, AdamStep.At(1, 1e-2, 1));
        Check.Near(w, w2, Tolerance.Adam, "w");
        Check.Near(m, m2, Tolerance.Adam, "m");
        Check.Near(v, v2, Tolerance.Adam, "v");
    }

    internal static void Near(LatentParameters wanted, LatentParameters got)
    {
        Check.Near(wanted.WEnc_LE, got.WEnc_LE, Tolerance.Adam, "wEnc");
        Check.Near(wanted.BEnc_L, got.BEnc_L, Tolerance.Adam, "bEnc");
        Check.Near(wanted.WDec_LE, got.WDec_LE, Tolerance.Adam, "wDec");
        Check.Near(wanted.EncM_LE, got.EncM_LE, Tolerance.Adam, "encoder m");
        Check.Near(wanted.EncV_LE, got.EncV_LE, Tolerance.Adam, "encoder v");
        Check.Near(wanted.BiasM_L, got.BiasM_L, Tolerance.Adam, "bias m");
        Check.Near(wanted.BiasV_L, got.BiasV_L, Tolerance.Adam, "bias v");
        Check.Near(wanted.DecM_LE, got.DecM_LE, Tolerance.Adam, "decoder m");
        Check.Near(wanted.DecV_LE, got.DecV_LE, Tolerance.Adam, "decoder v");
        Check.Near(wanted.Norms_LM, got.Norms_LM, Tolerance.Adam, "norms");
        Check.Near(wanted.Scale_L, got.Scale_L, Tolerance.Adam, "scale");
    }

    static void ForAll(string name, Action<ICrosscoderKernels, CrosscoderCase, SparseCode> check)
    {
        using IBackend backend = BackendsUnderTest.Create(name);
        foreach ((int tokens, int latents, int[] widths, Selection selection) in Cases)
        {
            CrosscoderCase given = new(tokens, latents, widths, exact: false, seed: 11 * tokens + latents);
            using SparseCode code = given.NewCode();
            Oracle.EncodeSelect(given.Acts_BE, given.Parameters.WEnc_LE, given.Parameters.BEnc_L, given.Parameters.Scale_L, selection, code);
            check(backend.Crosscoder, given, code);
        }
    }
}
