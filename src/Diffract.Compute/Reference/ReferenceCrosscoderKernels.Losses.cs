using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;

namespace Diffract.Compute.Reference;

/// <summary>Losses and what flows back through the decoder.</summary>
public sealed partial class ReferenceCrosscoderKernels
{
    public ResidualSums Residual(Matrix acts_BE, Matrix recon_BE, ReadOnlySpan<int> modelOffsets, bool meanSquared, Matrix? residual_BE, Matrix? grad_BE)
    {
        int models = modelOffsets.Length - 1;
        ShapeException.Check(
            acts_BE.Rows == recon_BE.Rows && acts_BE.Columns == recon_BE.Columns && modelOffsets[^1] == acts_BE.Columns,
            nameof(Residual),
            "activations and reconstruction of one shape, offsets that end at their width",
            $"activations {acts_BE}, reconstruction {recon_BE}, offsets to {modelOffsets[^1]}");
        double norms = 0;
        double squares = 0;
        for (int b = 0; b < acts_BE.Rows; b++)
        {
            for (int m = 0; m < models; m++)
            {
                double square = 0;
                for (int e = modelOffsets[m]; e < modelOffsets[m + 1]; e++)
                {
                    double error = (double)acts_BE.Row(b)[e] - recon_BE.Row(b)[e];
                    square += error * error;
                    residual_BE?.Row(b)[e] = (float)error;
                }

                double norm = Math.Sqrt(square);
                norms += norm;
                squares += square;
                double factor = (meanSquared ? 2 : norm > 0 ? 1 / norm : 0) / ((double)acts_BE.Rows * models);
                for (int e = modelOffsets[m]; e < modelOffsets[m + 1]; e++)
                {
                    grad_BE?.Row(b)[e] = (float)(-((double)acts_BE.Row(b)[e] - recon_BE.Row(b)[e]) * factor);
                }
            }
        }

        return new ResidualSums(norms, squares);
    }

    public (double Squared, double Denominator) AuxResidual(Matrix residual_BE, Matrix auxRecon_BE, double alpha, Matrix grad_BE)
    {
        double squared = 0;
        double denominator = 0;
        for (int e = 0; e < residual_BE.Columns; e++)
        {
            double mean = 0;
            for (int b = 0; b < residual_BE.Rows; b++)
            {
                mean += residual_BE.Row(b)[e];
            }

            mean /= residual_BE.Rows;
            for (int b = 0; b < residual_BE.Rows; b++)
            {
                double r = residual_BE.Row(b)[e];
                denominator += (r - mean) * (r - mean);
                squared += (r - auxRecon_BE.Row(b)[e]) * (r - auxRecon_BE.Row(b)[e]);
            }
        }

        double coefficient = denominator > 0 ? alpha / denominator : 0;
        for (int b = 0; b < residual_BE.Rows; b++)
        {
            for (int e = 0; e < residual_BE.Columns; e++)
            {
                grad_BE.Row(b)[e] = (float)(coefficient * 2 * ((double)auxRecon_BE.Row(b)[e] - residual_BE.Row(b)[e]));
            }
        }

        return (squared, denominator);
    }

    public void CodeGradient(SparseCode code, Matrix grad_BE, Matrix wDec_LE, Matrix scale_L, float penalty)
    {
        Span<int> start = code.LatentStart.Span<int>();
        Span<int> token = code.PairToken.Span<int>();
        Span<float> gradient = code.PairGradient.Span<float>();
        for (int j = 0; j < code.Latents; j++)
        {
            for (int i = start[j]; i < start[j + 1]; i++)
            {
                double sum = (double)penalty * scale_L.Row(0)[j];
                for (int e = 0; e < grad_BE.Columns; e++)
                {
                    sum += ActiveAt(code, i, e) ? (double)grad_BE.Row(token[i])[e] * wDec_LE.Row(j)[e] : 0;
                }

                gradient[i] = (float)sum;
            }
        }
    }

    public void CodeGradientDense(Matrix code_BL, Matrix grad_BE, Matrix wDec_LE, Matrix scale_L, float penalty, Matrix codeGrad_BL, Matrix sum_L)
    {
        for (int b = 0; b < code_BL.Rows; b++)
        {
            for (int j = 0; j < code_BL.Columns; j++)
            {
                codeGrad_BL.Row(b)[j] = code_BL.Row(b)[j] > 0
                    ? (float)(Dot(grad_BE.Row(b), wDec_LE.Row(j)) + (double)penalty * scale_L.Row(0)[j])
                    : 0;
            }
        }

        ColumnSums(codeGrad_BL, sum_L);
    }

    public void ColumnSums(Matrix grad_BE, Matrix sum_E)
    {
        for (int e = 0; e < grad_BE.Columns; e++)
        {
            double sum = 0;
            for (int b = 0; b < grad_BE.Rows; b++)
            {
                sum += grad_BE.Row(b)[e];
            }

            sum_E.Row(0)[e] = (float)sum;
        }
    }

    public void CentreGradient(ReadOnlySpan<LatentTerm> terms, Matrix wEnc_LE, Matrix sum_E)
    {
        for (int e = 0; e < sum_E.Columns; e++)
        {
            double sum = sum_E.Row(0)[e];
            foreach (LatentTerm term in terms)
            {
                for (int j = 0; j < wEnc_LE.Rows; j++)
                {
                    for (int i = term.Code.LatentStart.Span<int>()[j]; i < term.Code.LatentStart.Span<int>()[j + 1]; i++)
                    {
                        sum -= (double)term.Code.PairGradient.Span<float>()[i] * wEnc_LE.Row(j)[e];
                    }
                }
            }

            sum_E.Row(0)[e] = (float)sum;
        }
    }

    public void Affine(Matrix source_BE, Matrix? before_E, Matrix? factor_E, Matrix? after_E, Matrix target_BE)
    {
        for (int b = 0; b < source_BE.Rows; b++)
        {
            for (int e = 0; e < source_BE.Columns; e++)
            {
                double before = before_E is { } shift ? shift.Row(0)[e] : 0;
                double factor = factor_E is { } scale ? scale.Row(0)[e] : 1;
                double after = after_E is { } add ? add.Row(0)[e] : 0;
                target_BE.Row(b)[e] = (float)((source_BE.Row(b)[e] - before) * factor + after);
            }
        }
    }

    public double SumOfSquares(Matrix matrix)
    {
        double sum = 0;
        for (int r = 0; r < matrix.Rows; r++)
        {
            sum += Dot(matrix.Row(r), matrix.Row(r));
        }

        return sum;
    }
}
