using Diffract.Compute.Buffers;
using Diffract.Runs;
using Diffract.Tokens;

namespace Diffract.Latents;

/// <summary>Reads the activations of chosen documents in batches of one size, documents end to end, and refuses what is not a number.</summary>
/// <param name="read">Reads rows (first row, count) of the activation store into a matrix [count, E].</param>
/// <param name="modelOffsets">[M + 1], for the message that says where a value is not finite.</param>
/// <param name="buffer_BE">[B, E] host matrix that the batches lie in.</param>
/// <param name="tokens">Says which tokens are stored, for the same message; null: all.</param>
public sealed class DocumentScan(Action<long, int, Matrix> read, int[] modelOffsets, Matrix buffer_BE, TokenStore? tokens = null)
{
    /// <summary>All stored tokens of <paramref name="documents"/>, in order; the last batch may be shorter.</summary>
    public IEnumerable<ScanBatch> Batches(IReadOnlyList<TokenDocument> documents)
    {
        List<ScanPiece> pieces = [];
        int rows = 0;
        foreach (TokenDocument document in documents)
        {
            for (int kept = 0; kept < document.Rows;)
            {
                int count = Math.Min(document.Rows - kept, buffer_BE.Rows - rows);
                pieces.Add(new ScanPiece(document, kept, count, rows));
                kept += count;
                rows += count;
                if (rows == buffer_BE.Rows)
                {
                    yield return Fill(pieces, rows);
                    pieces.Clear();
                    rows = 0;
                }
            }
        }

        if (rows > 0)
        {
            yield return Fill(pieces, rows);
        }
    }

    int Position(ScanPiece piece, int row) => tokens is null ? piece.FirstKept + row : tokens.Positions(piece.Document)[piece.FirstKept + row];

    ScanBatch Fill(List<ScanPiece> pieces, int rows)
    {
        for (int i = 0; i < pieces.Count;)
        {
            // Documents that follow each other in the store are read in one go.
            long first = pieces[i].Document.FirstRow + pieces[i].FirstKept;
            int at = pieces[i].FirstRow, count = 0;
            for (; i < pieces.Count && pieces[i].Document.FirstRow + pieces[i].FirstKept == first + count; i++)
            {
                count += pieces[i].Count;
            }

            read(first, count, buffer_BE.SliceRows(at, count));
        }

        Matrix acts_BE = buffer_BE.SliceRows(0, rows);
        foreach (ScanPiece piece in pieces)
        {
            for (int t = 0; t < piece.Count; t++)
            {
                if (FiniteRows.FirstBad(acts_BE.Row(piece.FirstRow + t)) is { } column)
                {
                    throw new DiffractException(
                        $"activations of model {FiniteRows.Model(modelOffsets, column)} are not finite at token {Position(piece, t)} of document {piece.Document.Number} ({piece.Document.Id}); "
                        + "wanted numbers: check the checkpoint, then run `diffract harvest --fresh`");
                }
            }
        }

        return new ScanBatch(acts_BE, pieces);
    }
}
