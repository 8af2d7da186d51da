using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;

namespace Diffract.Kernels.Tests.Crosscoder;

/// <summary>The ways to the same update: code gradients by their own op or in the visit, gradients kept from the clip norm or summed again. All give the same bits.</summary>
public sealed class UpdateLatentsTests
{
    [Theory]
    [MemberData(nameof(BackendsUnderTest.Names), MemberType = typeof(BackendsUnderTest))]
    public void Every_way_to_an_update_has_the_same_bits(string name)
    {
        using IBackend backend = BackendsUnderTest.Create(name);
        ICrosscoderKernels kernels = backend.Crosscoder;
        // The first has hot latents on several threads, the second more latents than can be kept, the third rows of odd widths.
        foreach ((int tokens, int latents, int[] widths, Selection selection) in new[]
        {
            (300, 12, new[] { 70, 66 }, Selection.Positive), (40, 200, [64, 64], Selection.BatchTopK(900)), (21, 90, [33, 5], Selection.BatchTopK(200)),
        })
        {
            CrosscoderCase given = new(tokens, latents, widths, exact: false, seed: tokens);
            kernels.DecoderNorms(given.Parameters);
            LatentParameters p = given.Parameters;
            using SparseCode code = given.NewCode(), aux = given.NewCode();
            kernels.EncodeSelect(given.Acts_BE, p.WEnc_LE, p.BEnc_L, p.Scale_L, selection, code);
            kernels.SelectDead(given.Acts_BE, p.WEnc_LE, p.BEnc_L, p.Scale_L, [.. Enumerable.Range(0, latents).Where(j => j % 3 == 0)], 2, aux);
            Matrix grad_BE = given.Fill(tokens, given.E), auxGrad_BE = given.Fill(tokens, given.E, padding: 1);
            foreach (bool two in new[] { false, true })
            {
                LatentTerm[] fresh = two ? [new(code, grad_BE, 0.01f), new(aux, auxGrad_BE, 0)] : [new(code, grad_BE, 0.01f)];
                LatentTerm[] known = [.. fresh.Select(t => t with { Penalty = null })];
                foreach (Matrix? pull_LM in new Matrix?[] { null, given.Fill(latents, widths.Length) })
                {
                    AdamStep adam = AdamStep.At(2, 1e-3, 0.4);
                    kernels.CodeGradient(code, grad_BE, p.WDec_LE, p.Scale_L, 0.01f);
                    kernels.CodeGradient(aux, auxGrad_BE, p.WDec_LE, p.Scale_L, 0);
                    LatentParameters wanted = given.Copy(pull_LM);
                    double squares = kernels.GradientSquares(known, given.Acts_BE, wanted);
                    kernels.UpdateLatents(known, given.Acts_BE, wanted, adam);

                    Spoil(code, aux);
                    LatentParameters kept = given.Copy(pull_LM);
                    Assert.Equal(squares, kernels.GradientSquares(fresh, given.Acts_BE, kept, keep: true));
                    kernels.UpdateLatents(known, given.Acts_BE, kept, adam);
                    Same(wanted, kept);

                    Spoil(code, aux);
                    LatentParameters alone = given.Copy(pull_LM);
                    kernels.UpdateLatents(fresh, given.Acts_BE, alone, adam);
                    Same(wanted, alone);
                }
            }
        }
    }

    /// <summary>What was kept for one update is not used for another one.</summary>
    [Theory]
    [MemberData(nameof(BackendsUnderTest.CpuNames), MemberType = typeof(BackendsUnderTest))]
    public void Kept_gradients_serve_one_update(string name)
    {
        using IBackend backend = BackendsUnderTest.Create(name);
        ICrosscoderKernels kernels = backend.Crosscoder;
        CrosscoderCase given = new(60, 20, [24, 8], exact: false, seed: 3);
        LatentParameters p = given.Parameters;
        using SparseCode code = given.NewCode();
        kernels.EncodeSelect(given.Acts_BE, p.WEnc_LE, p.BEnc_L, p.Scale_L, Selection.Positive, code);
        Matrix grad_BE = given.Fill(60, given.E);
        LatentParameters first = given.Copy(), second = given.Copy(), other = given.Copy();
        kernels.GradientSquares([new LatentTerm(code, grad_BE, 0)], given.Acts_BE, first, keep: true);
        kernels.UpdateLatents([new LatentTerm(code, grad_BE)], given.Acts_BE, first, AdamStep.At(1, 1e-3, 1));
        grad_BE.Row(0).Fill(0.5f);
        kernels.UpdateLatents([new LatentTerm(code, grad_BE, 0)], given.Acts_BE, second, AdamStep.At(1, 1e-3, 1));
        using IBackend fresh = BackendsUnderTest.Create(name);
        fresh.Crosscoder.UpdateLatents([new LatentTerm(code, grad_BE, 0)], given.Acts_BE, other, AdamStep.At(1, 1e-3, 1));
        Same(other, second);
        Assert.NotEqual(Check.Floats((HostBuffer)first.WDec_LE.Buffer, 20 * 32), Check.Floats((HostBuffer)second.WDec_LE.Buffer, 20 * 32));
    }

    static void Spoil(params SparseCode[] codes)
    {
        foreach (SparseCode code in codes)
        {
            code.PairGradient.Span<float>().Fill(float.NaN);
        }
    }

    static void Same(LatentParameters wanted, LatentParameters got)
    {
        Check.SameBits(wanted.WEnc_LE, got.WEnc_LE, "wEnc");
        Check.SameBits(wanted.BEnc_L, got.BEnc_L, "bEnc");
        Check.SameBits(wanted.WDec_LE, got.WDec_LE, "wDec");
        Check.SameBits(wanted.EncM_LE, got.EncM_LE, "encoder m");
        Check.SameBits(wanted.DecV_LE, got.DecV_LE, "decoder v");
        Check.SameBits(wanted.BiasM_L, got.BiasM_L, "bias m");
        Check.SameBits(wanted.Norms_LM, got.Norms_LM, "norms");
        Check.SameBits(wanted.Scale_L, got.Scale_L, "scale");
    }
}
