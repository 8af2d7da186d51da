using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;

namespace Diffract.Kernels.Tests.Crosscoder;

/// <summary>A designated partition: latents of one model alone. Its gradients are those of the loss in the weights that there are, and nothing in those that the masks take away, which stay 0.</summary>
public sealed class PartitionTests
{
    [Theory]
    [MemberData(nameof(BackendsUnderTest.Names), MemberType = typeof(BackendsUnderTest))]
    public void Masked_gradients_are_those_of_the_loss_without_the_masked_weights(string name)
    {
        using IBackend backend = BackendsUnderTest.Create(name);
        ICrosscoderKernels kernels = backend.Crosscoder;
        foreach (Selection selection in new[] { Selection.Positive, Selection.BatchTopK(25) })
        {
            double mu = selection.Rule == SelectionRule.Positive ? 0.3 : 0;
            CrosscoderCase given = new(8, 10, [4, 3], exact: false, seed: 5);
            using LatentMasks masks = Masks(10);
            Clear(given.Parameters, masks);
            kernels.DecoderNorms(given.Parameters);
            LatentParameters p = given.Copy(mu == 0 ? null : Matrix.Host(10, 2)) with { Masks = masks };
            Matrix recon_BE = Matrix.Host(8, 7), grad_BE = Matrix.Host(8, 7), sums_L = Matrix.Host(1, 10);
            using SparseCode code = given.NewCode();
            kernels.EncodeSelect(given.Acts_BE, p.WEnc_LE, p.BEnc_L, p.Scale_L, selection, code);
            kernels.Decode(code, p.WDec_LE, given.BDec_E, recon_BE);
            kernels.Residual(given.Acts_BE, recon_BE, given.Offsets, false, null, grad_BE);
            kernels.CodeGradient(code, grad_BE, p.WDec_LE, p.Scale_L, (float)(mu / 8));
            kernels.CodeSums(code, sums_L);
            for (int j = 0; j < 10 && p.Pull_LM is not null; j++)
            {
                p.Pull_LM.Value.Row(j).Fill((float)(mu / 8) * sums_L.Row(0)[j]);
            }

            // Beta1 = 0: the first moment is the gradient, and the rate moves the weights.
            kernels.UpdateLatents([new LatentTerm(code, grad_BE)], given.Acts_BE, p, AdamStep.At(1, 0.01, 1, beta1: 0));
            WholeStepTests.Formula formula = new(given, code, false, mu);
            Compare(formula, formula.WEnc, p.EncM_LE, masks.Reads, given, "gEnc");
            Compare(formula, formula.WDec, p.DecM_LE, masks.Writes, given, "gDec");
            WholeStepTests.Compare(formula, formula.BEnc, p.BiasM_L, "gBias");
            AssertCleared(p, masks);
        }
    }

    /// <summary>The first two of the base model, the next three of the other.</summary>
    static LatentMasks Masks(int latents)
    {
        LatentMasks masks = new(latents, 2);
        for (int j = 0; j < 5; j++)
        {
            masks.Reads_L.Span<int>()[j] = masks.Writes_L.Span<int>()[j] = j < 2 ? 1 : 2;
        }

        return masks;
    }

    static void Clear(LatentParameters p, LatentMasks masks)
    {
        for (int j = 0; j < p.WEnc_LE.Rows; j++)
        {
            for (int m = 0; m < 2; m++)
            {
                (masks.Reads(j, m) ? [] : p.WEnc_LE.Row(j)[p.ModelOffsets[m]..p.ModelOffsets[m + 1]]).Clear();
                (masks.Writes(j, m) ? [] : p.WDec_LE.Row(j)[p.ModelOffsets[m]..p.ModelOffsets[m + 1]]).Clear();
            }
        }
    }

    static void AssertCleared(LatentParameters p, LatentMasks masks)
    {
        for (int j = 0; j < 5; j++)
        {
            int other = masks.Reads(j, 0) ? 1 : 0;
            Assert.Equal(-1, p.WEnc_LE.Row(j)[p.ModelOffsets[other]..p.ModelOffsets[other + 1]].IndexOfAnyExcept(0f));
            Assert.Equal(-1, p.WDec_LE.Row(j)[p.ModelOffsets[other]..p.ModelOffsets[other + 1]].IndexOfAnyExcept(0f));
            Assert.Equal(0, p.Norms_LM.Row(j)[other]);
            Assert.Equal(p.Norms_LM.Row(j)[1 - other], p.Scale_L.Row(0)[j]);
        }
    }

    static void Compare(WholeStepTests.Formula formula, double[] values, Matrix gradient, Func<int, int, bool> kept, CrosscoderCase given, string what)
    {
        const double H = 1e-6;
        double largest = 0, worst = 0;
        int masked = 0;
        for (int i = 0; i < values.Length; i++)
        {
            (int j, int e) = (i / given.E, i % given.E);
            if (!kept(j, e < given.Offsets[1] ? 0 : 1))
            {
                masked++;
                Assert.Equal(0, gradient.Row(j)[e]);
                continue;
            }

            double before = values[i];
            values[i] = before + H;
            double up = formula.Loss();
            values[i] = before - H;
            double slope = (up - formula.Loss()) / (2 * H);
            values[i] = before;
            largest = Math.Max(largest, Math.Abs(slope));
            worst = Math.Max(worst, Math.Abs(slope - gradient.Row(j)[e]));
        }

        Assert.Equal(2 * 3 + 3 * 4, masked);
        Assert.True(largest > 0 && worst <= 1e-5 * largest, $"{what}: off by {worst}, largest {largest}");
    }
}
