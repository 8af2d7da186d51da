using Diffract.Compute.Buffers;
using Diffract.Latents;

namespace Diffract.Scaling;

/// <summary>From sums to rows: the eight betas, both ratios, their jackknife errors and the verdict of every latent.</summary>
public static class ScalingRows
{
    /// <param name="sums">Over all tokens, by block.</param>
    /// <param name="products">Of the same directions.</param>
    /// <param name="wDec_LE">[L, E], two models, in the units that the crosscoder was trained in: its Delta-norm is the one that the latent table has.</param>
    /// <param name="modelOffsets">[3].</param>
    public static ScalingRow[] From(BetaSums sums, LatentProducts products, Matrix wDec_LE, int[] modelOffsets)
    {
        ScalingRow[] rows = new ScalingRow[sums.Latents];
        double[] total = new double[sums.TotalColumns], without = new double[sums.TotalColumns];
        double[] errors = new double[sums.Blocks], reconstructions = new double[sums.Blocks];
        for (int j = 0; j < rows.Length; j++)
        {
            for (int g = 0; g < sums.Blocks; g++)
            {
                sums.Total(j, without, g);
                errors[g] = Beta.Ratio(TargetKind.Error, without, products, j);
                reconstructions[g] = Beta.Ratio(TargetKind.Reconstruction, without, products, j);
            }

            sums.Total(j, total);
            double nuError = Beta.Ratio(TargetKind.Error, total, products, j), nuReconstruction = Beta.Ratio(TargetKind.Reconstruction, total, products, j);
            long count = (long)total[0];
            rows[j] = new ScalingRow(
                j, count,
                Beta.Of(TargetKind.Activation, 0, total, products, j), Beta.Of(TargetKind.Activation, 1, total, products, j),
                Beta.Of(TargetKind.ActivationNoBias, 0, total, products, j), Beta.Of(TargetKind.ActivationNoBias, 1, total, products, j),
                Beta.Of(TargetKind.Reconstruction, 0, total, products, j), Beta.Of(TargetKind.Reconstruction, 1, total, products, j),
                Beta.Of(TargetKind.Error, 0, total, products, j), Beta.Of(TargetKind.Error, 1, total, products, j),
                nuError, Jackknife.StandardError(errors), nuReconstruction, Jackknife.StandardError(reconstructions),
                Verdicts.Of(LatentVectors.Of(wDec_LE, modelOffsets, j).Delta, count, nuError, nuReconstruction));
        }

        return rows;
    }
}
