using Diffract.Compute.Buffers;

namespace Diffract.Activations;

/// <summary>Batches in a shuffled order, whatever the activations are read from.</summary>
/// <param name="order">The order; sources of several layers may share one.</param>
/// <param name="modelOffsets">[M + 1].</param>
public abstract class OrderedBatches(ShuffledOrder order, int[] modelOffsets) : IBatchSource
{
    public ShuffledOrder Order { get; } = order;

    public int[] ModelOffsets { get; } = modelOffsets;

    public long DistinctTokens => Order.DistinctTokens;

    public void Fill(long index, Matrix acts_BE)
    {
        long at = index * acts_BE.Rows;
        for (int row = 0; row < acts_BE.Rows;)
        {
            (long pass, long window, int place) = Order.Locate(at);
            int count = Math.Min(acts_BE.Rows - row, Order.TokensOf(window) - place);
            Copy(at, window, Order.Places(pass, window).Slice(place, count), acts_BE.SliceRows(row, count));
            row += count;
            at += count;
        }
    }

    public long? RowOf(long index, int row, int batch)
    {
        (long pass, long window, int place) = Order.Locate(index * batch + row);
        return Order.RowOf((window * Order.Window) + Order.Places(pass, window)[place]);
    }

    /// <summary>Writes the activations of some tokens of a window.</summary>
    /// <param name="at">The first token's number in the endless sequence.</param>
    /// <param name="window">The window, of any pass.</param>
    /// <param name="places">The tokens, counted in document order from the window's first.</param>
    /// <param name="acts_BE">As many rows.</param>
    protected abstract void Copy(long at, long window, ReadOnlySpan<int> places, Matrix acts_BE);
}
