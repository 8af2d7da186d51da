using Diffract.Tokens;

namespace Diffract.Activations;

/// <summary>
/// The order in which the stored tokens of one split are trained on. A window is so many consecutive tokens of the split, in document order; inside it they are sorted by a hash of seed, pass,
/// document number and place among the document's stored tokens. The order is a function of those alone: not of shards, threads or batch size. Step s of batches of B takes tokens s·B .. s·B + B - 1 of the
/// endless sequence of passes, so a batch is a pure function of its step. One caller at a time.
/// </summary>
public sealed class ShuffledOrder
{
    public const int DefaultWindow = 1 << 18;

    readonly TokenDocument[] _documents;

    // The split's tokens before each of its documents.
    readonly long[] _before;
    readonly ulong _seed;
    readonly ulong[] _keys;
    readonly int[] _places;
    long _held = -1;
    int _heldCount;

    /// <param name="tokens">The documents and their splits.</param>
    /// <param name="seed">Decides the order.</param>
    /// <param name="split">Which documents to take.</param>
    /// <param name="only">Documents or chats only; null for both.</param>
    /// <param name="window">Tokens that are shuffled among each other.</param>
    public ShuffledOrder(TokenStore tokens, int seed, Split split = Split.Train, TextSource? only = null, int window = DefaultWindow)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(window, 1);
        (_seed, _documents) = ((ulong)seed, [.. tokens.Documents.Where(d => d.Split == split && (only is null || d.Source == only))]);
        _before = new long[_documents.Length + 1];
        for (int i = 0; i < _documents.Length; i++)
        {
            _before[i + 1] = _before[i] + _documents[i].Rows;
        }

        Window = (int)Math.Min(window, Math.Max(1, DistinctTokens));
        (_keys, _places) = (new ulong[Window], new int[Window]);
    }

    /// <summary>The split's documents, in the order of the store.</summary>
    public IReadOnlyList<TokenDocument> Documents => _documents;

    /// <summary>Tokens of a pass.</summary>
    public long DistinctTokens => _before[^1];

    /// <summary>Tokens of a window; the last of a pass may have fewer.</summary>
    public int Window { get; }

    public long WindowsOfPass => (DistinctTokens + Window - 1) / Window;

    /// <summary>Tokens of window <paramref name="window"/> of a pass.</summary>
    public int TokensOf(long window) => (int)Math.Min(Window, DistinctTokens - (window * Window));

    /// <summary>The documents that window <paramref name="window"/> of a pass has tokens of, and how many tokens of the first of them lie before it.</summary>
    public (int First, int End, int Before) DocumentsOf(long window)
    {
        long first = window * Window;
        return (Find(first), Find(first + TokensOf(window) - 1) + 1, (int)(first - _before[Find(first)]));
    }

    /// <summary>Tokens of all documents that a window has tokens of, whole ones.</summary>
    public int RowsOf(long window) => DocumentsOf(window) is var (first, end, _) ? checked((int)(_before[end] - _before[first])) : 0;

    /// <summary>Row of the activation store of token <paramref name="token"/> of a pass, counted in document order.</summary>
    public long RowOf(long token)
    {
        int d = Find(token);
        return _documents[d].FirstRow + token - _before[d];
    }

    /// <summary>Where token <paramref name="at"/> of the endless sequence lies: its pass, its window and its place in the order of the window.</summary>
    public (long Pass, long Window, int Place) Locate(long at)
    {
        long inPass = at % DistinctTokens;
        return (at / DistinctTokens, inPass / Window, (int)(inPass % Window));
    }

    /// <summary>The tokens of a window, counted in document order from its first, in the order of training. Valid until the next call.</summary>
    public ReadOnlySpan<int> Places(long pass, long window)
    {
        long wanted = (pass * WindowsOfPass) + window;
        if (wanted != _held)
        {
            Sort(pass, window);
            _held = wanted;
        }

        return _places.AsSpan(0, _heldCount);
    }

    void Sort(long pass, long window)
    {
        long first = window * Window;
        _held = -1;
        _heldCount = TokensOf(window);
        int d = Find(first);
        for (int i = 0; i < _heldCount; i++)
        {
            while (first + i >= _before[d + 1])
            {
                d++;
            }

            _keys[i] = SeededHash.Of(_seed, (ulong)pass, (ulong)_documents[d].Number, (ulong)(first + i - _before[d]));
            _places[i] = i;
        }

        Array.Sort(_keys, _places, 0, _heldCount);
    }

    int Find(long token)
    {
        int d = Array.BinarySearch(_before, 0, _documents.Length, token);
        return d >= 0 ? d : ~d - 1;
    }
}
