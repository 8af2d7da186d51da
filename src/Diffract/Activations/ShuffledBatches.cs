using Diffract.Compute.Buffers;
using Diffract.Runs;
using Diffract.Tokens;

namespace Diffract.Activations;

/// <summary>
/// The stored tokens of one split in the order in which they are trained on. A window is so many consecutive tokens of the split, in document order; inside it they are sorted by a hash of seed, pass,
/// document number and place among the document's stored tokens. The order is a function of those alone: not of shards, threads or batch size. Step s of batches of B takes tokens s·B .. s·B + B - 1 of the endless
/// sequence of passes, so a batch is a pure function of its step.
/// </summary>
public sealed class ShuffledBatches : IBatchSource
{
    public const int DefaultWindow = 1 << 18;

    readonly ActivationStore _store;
    readonly TokenDocument[] _documents;

    // The split's tokens before each of its documents.
    readonly long[] _before;
    readonly ulong _seed;
    readonly int _window;
    readonly ulong[] _keys;
    readonly long[] _rows;
    long _held = -1;
    int _heldCount;

    /// <param name="store">Activations of the same tokens.</param>
    /// <param name="tokens">The documents and their splits.</param>
    /// <param name="seed">Decides the order.</param>
    /// <param name="split">Which documents to take.</param>
    /// <param name="only">Documents or chats only; null for both.</param>
    /// <param name="window">Tokens that are shuffled among each other.</param>
    public ShuffledBatches(ActivationStore store, TokenStore tokens, int seed, Split split = Split.Train, TextSource? only = null, int window = DefaultWindow)
    {
        if (store.Rows != tokens.Rows)
        {
            throw new DiffractException($"the activations of layer {store.Layer} have {store.Rows} rows, the tokens have {tokens.Rows}; run `diffract harvest --fresh`");
        }

        ArgumentOutOfRangeException.ThrowIfLessThan(window, 1);
        (_store, _seed, _documents) = (store, (ulong)seed, [.. tokens.Documents.Where(d => d.Split == split && (only is null || d.Source == only))]);
        _before = new long[_documents.Length + 1];
        for (int i = 0; i < _documents.Length; i++)
        {
            _before[i + 1] = _before[i] + _documents[i].Rows;
        }

        _window = (int)Math.Min(window, Math.Max(1, DistinctTokens));
        (_keys, _rows) = (new ulong[_window], new long[_window]);
    }

    public int[] ModelOffsets => _store.ModelOffsets;

    public long DistinctTokens => _before[^1];

    public void Fill(long index, Matrix acts_BE)
    {
        long at = index * acts_BE.Rows;
        for (int row = 0; row < acts_BE.Rows;)
        {
            long pass = at / DistinctTokens, inPass = at % DistinctTokens;
            Hold(pass, inPass / _window);
            int inWindow = (int)(inPass % _window);
            int count = Math.Min(acts_BE.Rows - row, _heldCount - inWindow);
            _store.Gather(_rows.AsSpan(inWindow, count), acts_BE.SliceRows(row, count));
            row += count;
            at += count;
        }
    }

    public long? RowOf(long index, int row, int batch)
    {
        long at = index * batch + row, inPass = at % DistinctTokens;
        Hold(at / DistinctTokens, inPass / _window);
        return _rows[inPass % _window];
    }

    /// <summary>Rows of the store in the order of a window, for this window number of this pass.</summary>
    void Hold(long pass, long window)
    {
        long wanted = (pass * ((DistinctTokens + _window - 1) / _window)) + window;
        if (wanted == _held)
        {
            return;
        }

        long first = window * _window;
        _heldCount = (int)Math.Min(_window, DistinctTokens - first);
        int d = Array.BinarySearch(_before, 0, _documents.Length, first);
        d = d >= 0 ? d : ~d - 1;
        for (int i = 0; i < _heldCount; i++)
        {
            while (first + i >= _before[d + 1])
            {
                d++;
            }

            long position = first + i - _before[d];
            _keys[i] = SeededHash.Of(_seed, (ulong)pass, (ulong)_documents[d].Number, (ulong)position);
            _rows[i] = _documents[d].FirstRow + position;
        }

        Array.Sort(_keys, _rows, 0, _heldCount);
        _held = wanted;
    }
}
