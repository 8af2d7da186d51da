using Diffract.Compute.Buffers;

namespace Diffract.Activations;

/// <summary>Batches of paired activations. A batch is a pure function of its step: there is nothing to checkpoint.</summary>
public interface IBatchSource
{
    /// <summary>[M + 1]: the columns of model m are ModelOffsets[m] .. ModelOffsets[m + 1] - 1.</summary>
    int[] ModelOffsets { get; }

    /// <summary>Tokens before the first repetition.</summary>
    long DistinctTokens { get; }

    /// <summary>Writes the batch that step <paramref name="index"/> (from 0) trains on, as [B, E] float32.</summary>
    void Fill(long index, Matrix acts_BE);

    /// <summary>Where a row of the batch of step <paramref name="index"/> lies in what was read, counted from 0, for messages; null where nobody could look it up.</summary>
    /// <param name="index">The step.</param>
    /// <param name="row">Row of the batch.</param>
    /// <param name="batch">Rows of a batch.</param>
    long? RowOf(long index, int row, int batch) => null;
}
