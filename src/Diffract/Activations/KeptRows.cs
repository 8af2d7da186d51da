using Diffract.Formats;
using Diffract.Runs;
using Diffract.Tokens;

namespace Diffract.Activations;

/// <summary>
/// Which rows of the token store a smaller activation store keeps: whole documents, in order. <c>rows.safetensors</c> holds them as <c>runs</c> [n, 2], I64: first row and number of rows of each
/// stretch of documents that follow each other. Rows are asked for by their number in the token store, so no later stage can take the smaller store for the whole.
/// </summary>
sealed class KeptRows
{
    public const string FileName = "rows.safetensors";

    const string Tensor = "runs";

    readonly long[] _first, _count, _before;

    KeptRows(long[] runs)
    {
        int n = runs.Length / 2;
        (_first, _count, _before) = (new long[n], new long[n], new long[n + 1]);
        for (int i = 0; i < n; i++)
        {
            (_first[i], _count[i]) = (runs[2 * i], runs[(2 * i) + 1]);
            _before[i + 1] = _before[i] + _count[i];
        }
    }

    /// <summary>Rows in all.</summary>
    public long Rows => _before[^1];

    /// <summary>The documents that a smaller store keeps: of each split but training, and of documents and chats each, the first ones until there are so many rows.</summary>
    public static TokenDocument[] Choose(IReadOnlyList<TokenDocument> documents, long most)
    {
        Dictionary<(Split, TextSource), long> rows = [];
        return [.. documents.Where(d =>
        {
            long before = rows.GetValueOrDefault((d.Split, d.Source));
            if (d.Split == Split.Train || before >= most)
            {
                return false;
            }

            rows[(d.Split, d.Source)] = before + d.Rows;
            return true;
        })];
    }

    public static FileSeal Save(string folder, IReadOnlyList<TokenDocument> documents)
    {
        List<long> runs = [];
        foreach (TokenDocument d in documents)
        {
            if (runs.Count > 0 && runs[^2] + runs[^1] == d.FirstRow)
            {
                runs[^1] += d.Rows;
            }
            else
            {
                runs.AddRange(d.FirstRow, d.Rows);
            }
        }

        SafetensorsWriter writer = new();
        writer.Add(Tensor, runs.ToArray(), runs.Count / 2, 2);
        return writer.Save(Path.Combine(folder, FileName));
    }

    /// <exception cref="DiffractException">Not such a file, or runs that do not ascend.</exception>
    public static KeptRows Open(string folder)
    {
        string path = Path.Combine(folder, FileName);
        using SafetensorsFile file = SafetensorsFile.Open(path);
        if (!file.Tensors.TryGetValue(Tensor, out TensorEntry? entry) || entry.Type != "I64" || entry.Shape is not [_, 2])
        {
            throw new DiffractException($"{path} does not hold {Tensor} [n, 2] as I64: changed or damaged; train with --stream --fresh");
        }

        KeptRows rows = new(file.Integers(Tensor));
        for (int i = 0; i < rows._first.Length; i++)
        {
            if (rows._count[i] < 1 || rows._first[i] < (i == 0 ? 0 : rows._first[i - 1] + rows._count[i - 1]) || rows._first[i] > long.MaxValue - rows._count[i])
            {
                throw new DiffractException($"{path}: stretch {i} of {Tensor} does not follow the one before it: changed or damaged; train with --stream --fresh");
            }
        }

        return rows;
    }

    /// <summary>Whether all of these rows are kept.</summary>
    public bool Holds(long row, long count) => Find(row) is int i && i >= 0 && row + count <= _first[i] + _count[i];

    /// <summary>Where row <paramref name="row"/> of the token store lies among the kept ones, with <paramref name="count"/> - 1 that follow it.</summary>
    /// <exception cref="DiffractException">One of them is not kept.</exception>
    public long PlaceOf(long row, long count)
    {
        int i = Find(row);
        return i >= 0 && row + count <= _first[i] + _count[i]
            ? _before[i] + row - _first[i]
            : throw new DiffractException($"rows {row} to {row + count - 1} are not all in this smaller store of activations, which keeps {Rows} rows for what follows a training; run `diffract harvest --fresh` for all");
    }

    /// <summary>The last stretch that begins at the row or before it; -1 where there is none.</summary>
    int Find(long row)
    {
        int at = Array.BinarySearch(_first, row);
        return at >= 0 ? at : ~at - 1;
    }
}
