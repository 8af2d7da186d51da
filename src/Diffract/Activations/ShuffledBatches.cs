using Diffract.Compute.Buffers;
using Diffract.Runs;
using Diffract.Tokens;

namespace Diffract.Activations;

/// <summary>The stored activations of one split in the order in which they are trained on (<see cref="ShuffledOrder"/>).</summary>
public sealed class ShuffledBatches : OrderedBatches
{
    readonly ActivationStore _store;
    readonly long[] _rows;

    /// <param name="store">Activations of the same tokens.</param>
    /// <param name="tokens">The documents and their splits.</param>
    /// <param name="seed">Decides the order.</param>
    /// <param name="split">Which documents to take.</param>
    /// <param name="only">Documents or chats only; null for both.</param>
    /// <param name="window">Tokens that are shuffled among each other.</param>
    /// <exception cref="DiffractException">Activations of other tokens, or a store that does not keep the split.</exception>
    public ShuffledBatches(ActivationStore store, TokenStore tokens, int seed, Split split = Split.Train, TextSource? only = null, int window = ShuffledOrder.DefaultWindow)
        : base(new ShuffledOrder(tokens, seed, split, only, window), store.ModelOffsets)
    {
        store.Require(tokens, Order.Documents);
        _store = store;
        _rows = new long[Order.Window];
    }

    protected override void Copy(long at, long window, ReadOnlySpan<int> places, Matrix acts_BE)
    {
        Span<long> rows = _rows.AsSpan(0, places.Length);
        for (int i = 0; i < places.Length; i++)
        {
            rows[i] = Order.RowOf((window * Order.Window) + places[i]);
        }

        _store.Gather(rows, acts_BE);
    }
}
