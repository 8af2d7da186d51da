using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Runs;

namespace Diffract.Latents;

/// <summary>For each row of a matrix the largest cosine to any row of another (spec 4.5): rows of length 1, then a product in tiles. Norms below 1e-8 count as 1e-8.</summary>
public static class MaxCosine
{
    const int Rows = 256, Others = 4096;
    const double SmallestNorm = 1e-8;

    /// <param name="backend">Who multiplies.</param>
    /// <param name="from_LD">[L, D].</param>
    /// <param name="to_ND">[N, D].</param>
    /// <param name="progress">Told the rows done.</param>
    /// <param name="what">What the progress is called.</param>
    /// <param name="stop">Ctrl-C.</param>
    /// <returns>[L]: the cosine, and which row of the other matrix has it.</returns>
    public static (double Cosine, int Row)[] Of(IBackend backend, Matrix from_LD, Matrix to_ND, IProgressSink progress, string what, CancellationToken stop)
    {
        (double Cosine, int Row)[] best = new (double, int)[from_LD.Rows];
        Array.Fill(best, (double.NegativeInfinity, -1));
        Matrix rows_RD = backend.Matrix(Rows, from_LD.Columns), others_OD = backend.Matrix(Others, from_LD.Columns), cosine_RO = backend.Matrix(Rows, Others);
        using IBuffer rows = rows_RD.Buffer, others = others_OD.Buffer, cosines = cosine_RO.Buffer;
        for (int o = 0; o < to_ND.Rows; o += Others)
        {
            Matrix other_OD = others_OD.SliceRows(0, Math.Min(Others, to_ND.Rows - o));
            Normalise(to_ND, o, other_OD);
            for (int r = 0; r < from_LD.Rows; r += Rows)
            {
                stop.ThrowIfCancellationRequested();
                Matrix row_RD = rows_RD.SliceRows(0, Math.Min(Rows, from_LD.Rows - r));
                Normalise(from_LD, r, row_RD);
                Matrix part_RO = cosine_RO.SliceRows(0, row_RD.Rows).SliceColumns(0, other_OD.Rows);
                backend.Transformer.MatMul(row_RD, other_OD, part_RO);
                for (int i = 0; i < row_RD.Rows; i++)
                {
                    Span<float> of = part_RO.Row(i);
                    for (int c = 0; c < of.Length; c++)
                    {
                        if (of[c] > best[r + i].Cosine)
                        {
                            best[r + i] = (of[c], o + c);
                        }
                    }
                }

                progress.Report(what, ((long)o * from_LD.Rows) + ((long)(r + row_RD.Rows) * other_OD.Rows), (long)from_LD.Rows * to_ND.Rows, "pairs");
            }
        }

        return best;
    }

    static void Normalise(Matrix from, int first, Matrix to)
    {
        for (int r = 0; r < to.Rows; r++)
        {
            Span<float> source = from.Row(first + r), target = to.Row(r);
            double norm = Math.Max(Math.Sqrt(LatentVectors.Dot(source, source)), SmallestNorm);
            for (int d = 0; d < target.Length; d++)
            {
                target[d] = (float)(source[d] / norm);
            }
        }
    }
}
