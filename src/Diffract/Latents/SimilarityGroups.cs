using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Runs;

namespace Diffract.Latents;

/// <summary>Groups of latents whose decoder rows point the same way: connected components of the graph whose edges are cosines above a bound. Rows without a length are alone.</summary>
public static class SimilarityGroups
{
    const int Tile = 512;
    const double SmallestNorm = 1e-8;

    /// <param name="backend">Who multiplies.</param>
    /// <param name="rows_LD">[L, D].</param>
    /// <param name="above">Bound of the cosine.</param>
    /// <param name="progress">Told the rows done.</param>
    /// <param name="stop">Ctrl-C.</param>
    /// <returns>Groups of two and more, largest first, equal ones by their first latent; latents ascending.</returns>
    public static int[][] Of(IBackend backend, Matrix rows_LD, double above, IProgressSink progress, CancellationToken stop)
    {
        int[] parent = [.. Enumerable.Range(0, rows_LD.Rows)];
        Matrix unit_LD = backend.Matrix(rows_LD.Rows, rows_LD.Columns), cosine_TT = backend.Matrix(Tile, Tile);
        using IBuffer units = unit_LD.Buffer, cosines = cosine_TT.Buffer;
        for (int j = 0; j < rows_LD.Rows; j++)
        {
            double norm = Math.Max(Math.Sqrt(LatentVectors.Dot(rows_LD.Row(j), rows_LD.Row(j))), SmallestNorm);
            for (int d = 0; d < rows_LD.Columns; d++)
            {
                unit_LD.Row(j)[d] = (float)(rows_LD.Row(j)[d] / norm);
            }
        }

        for (int a = 0; a < rows_LD.Rows; a += Tile)
        {
            stop.ThrowIfCancellationRequested();
            Matrix first_TD = unit_LD.SliceRows(a, Math.Min(Tile, rows_LD.Rows - a));
            for (int b = a; b < rows_LD.Rows; b += Tile)
            {
                Matrix second_TD = unit_LD.SliceRows(b, Math.Min(Tile, rows_LD.Rows - b)), part_TT = cosine_TT.SliceRows(0, first_TD.Rows).SliceColumns(0, second_TD.Rows);
                backend.Transformer.MatMul(first_TD, second_TD, part_TT);
                for (int i = 0; i < part_TT.Rows; i++)
                {
                    Span<float> row = part_TT.Row(i);
                    for (int k = 0; k < row.Length; k++)
                    {
                        if (row[k] > above && a + i < b + k)
                        {
                            Join(a + i, b + k);
                        }
                    }
                }
            }

            progress.Report("similarity", a + first_TD.Rows, rows_LD.Rows, "latents");
        }

        return [.. Enumerable.Range(0, parent.Length).GroupBy(Root).Select(g => g.ToArray()).Where(g => g.Length > 1).OrderByDescending(g => g.Length).ThenBy(g => g[0])];

        int Root(int j)
        {
            while (parent[j] != j)
            {
                j = parent[j] = parent[parent[j]];
            }

            return j;
        }

        void Join(int i, int j)
        {
            (int a, int b) = (Root(i), Root(j));
            parent[Math.Max(a, b)] = Math.Min(a, b);
        }
    }
}
