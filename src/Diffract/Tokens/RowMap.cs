using Diffract.Runs;

namespace Diffract.Tokens;

/// <summary>
/// Which token each row of the activation store belongs to. Without <c>rows.bin</c> every token has its row, in both models; with it a document has a row for each kept token, at a position of its own in
/// each model. Positions count from 0 within the document and ascend with the rows.
/// </summary>
sealed unsafe class RowMap : IDisposable
{
    public const string FileName = "rows.bin";

    readonly MappedBytes? _file;
    readonly int[] _all = [];

    public RowMap(string folder, TokenDocument[] documents)
    {
        if (documents.Any(d => d.Kept is not null))
        {
            string path = Path.Combine(folder, FileName);
            _file = new MappedBytes(path, documents.Sum(d => (long)d.Rows) * 2 * sizeof(int));
            try
            {
                Check(path, documents);
            }
            catch
            {
                _file.Dispose();
                throw;
            }
        }
        else
        {
            _all = [.. Enumerable.Range(0, documents.Max(d => (int?)d.Length) ?? 0)];
        }
    }

    /// <summary>Positions of a document's rows among the tokens of the chat model.</summary>
    public ReadOnlySpan<int> Positions(TokenDocument d) => _file is null ? _all.AsSpan(0, d.Length) : Read(d, 0);

    /// <summary>Positions of a document's rows among the tokens of the base model.</summary>
    public ReadOnlySpan<int> BasePositions(TokenDocument d) => _file is null ? _all.AsSpan(0, d.Length) : Read(d, d.Rows);

    public void Dispose() => _file?.Dispose();

    ReadOnlySpan<int> Read(TokenDocument d, int skipped) => new((int*)_file!.Pointer + (d.FirstRow * 2) + skipped, d.Rows);

    void Check(string path, TokenDocument[] documents)
    {
        foreach (TokenDocument d in documents)
        {
            if (!Ascends(Positions(d), d.Length) || !Ascends(BasePositions(d), d.BaseLength ?? d.Length))
            {
                throw new DiffractException($"{path} does not fit document {d.Number} ({d.Id}): changed or damaged; run `diffract tokenize --fresh`");
            }
        }
    }

    static bool Ascends(ReadOnlySpan<int> positions, int length)
    {
        int last = -1;
        foreach (int position in positions)
        {
            if (position <= last)
            {
                return false;
            }

            last = position;
        }

        return last < length;
    }
}
