using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Crosscoders;
using Diffract.Latents;
using Diffract.Scaling;
using Diffract.Tokens;

namespace Diffract.Planted;

/// <summary>Latent Scaling with the two models exchanged: along the base model's decoder row, ratios chat over base. What a claim of base-specificity rests on.</summary>
static class MirroredScaling
{
    const int BatchRows = 1024;

    /// <summary>(nu_error, nu_reconstruction) of every latent over the scaling split.</summary>
    public static (double Error, double Reconstruction)[] Of(ScanInputs inputs, IBackend backend, CancellationToken stop)
    {
        Crosscoder crosscoder = inputs.Crosscoder;
        int width = crosscoder.ModelOffsets[1];
        Matrix acts_BE = backend.Matrix(BatchRows, crosscoder.E), recon_BE = backend.Matrix(BatchRows, crosscoder.E);
        Matrix wDec_LE = Turned(crosscoder.WDec_LE, width), bDec_E = Turned(crosscoder.BDec_E, width);
        using IBuffer acts = acts_BE.Buffer, recon = recon_BE.Buffer, wDec = wDec_LE.Buffer, bDec = bDec_E.Buffer;
        using SparseCode code = crosscoder.NewCode(BatchRows);
        using BetaSums sums = new(backend.Scaling, wDec_LE, crosscoder.ModelOffsets, 1);
        foreach (ScanBatch batch in new DocumentScan(inputs.Activations.Read, crosscoder.ModelOffsets, acts_BE).Batches(inputs.Documents(Split.Scaling)))
        {
            stop.ThrowIfCancellationRequested();
            Matrix reconOf_BE = recon_BE.SliceRows(0, batch.Acts_BE.Rows);
            crosscoder.Encode(batch.Acts_BE, code);
            crosscoder.Decode(code, reconOf_BE);
            Turn(batch.Acts_BE, width);
            Turn(reconOf_BE, width);
            sums.Add(0, code, batch.Acts_BE, reconOf_BE);
        }

        LatentProducts products = new(wDec_LE, bDec_E, crosscoder.ModelOffsets);
        (double, double)[] ratios = new (double, double)[crosscoder.Latents];
        double[] total = new double[sums.Columns];
        for (int j = 0; j < ratios.Length; j++)
        {
            sums.Total(j, total);
            ratios[j] = (Beta.Ratio(TargetKind.Error, total, products, j), Beta.Ratio(TargetKind.Reconstruction, total, products, j));
        }

        return ratios;
    }

    static Matrix Turned(Matrix from, int width)
    {
        Matrix turned = Matrix.Host(from.Rows, from.Columns);
        for (int r = 0; r < from.Rows; r++)
        {
            from.Row(r).CopyTo(turned.Row(r));
        }

        Turn(turned, width);
        return turned;
    }

    /// <summary>Exchanges the halves of every row: both models have one width.</summary>
    static void Turn(Matrix matrix, int width)
    {
        for (int r = 0; r < matrix.Rows; r++)
        {
            Span<float> row_E = matrix.Row(r);
            for (int d = 0; d < width; d++)
            {
                (row_E[d], row_E[width + d]) = (row_E[width + d], row_E[d]);
            }
        }
    }
}
