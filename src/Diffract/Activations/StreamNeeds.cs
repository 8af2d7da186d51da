using Diffract.Llms;
using Diffract.Runs;

namespace Diffract.Activations;

/// <summary>What a stream of activations takes in memory beside the trainings, and how it goes about it where memory is short. No result depends on it.</summary>
/// <param name="Models">Both models at once or one at a time.</param>
/// <param name="Windows">2: the next window is filled while the first is trained on; 1: the training waits for it.</param>
/// <param name="WindowBytes">Of one window, all layers together.</param>
public sealed record StreamNeeds(ModelsInMemory Models, int Windows, long WindowBytes)
{
    /// <param name="folders">Checkpoints.</param>
    /// <param name="layers">0-based blocks, ascending.</param>
    /// <param name="rows">Rows of the largest window with its documents whole.</param>
    /// <param name="windows">Windows of a pass.</param>
    /// <param name="batch">Tokens of a forward batch.</param>
    /// <param name="longest">Tokens of the longest document.</param>
    /// <param name="storage">What activations are rounded to.</param>
    /// <param name="training">Bytes that the trainings take.</param>
    /// <param name="memory">The bound.</param>
    /// <exception cref="DiffractException">Not even one model at a time and one window fit beside the trainings.</exception>
    public static StreamNeeds Of(
        IReadOnlyList<string> folders, IReadOnlyList<LayerPair> layers, long rows, long windows, int batch, int longest, StorageKind storage, long training, MemoryBudget memory)
    {
        int[] widths = [.. folders.Select(f => LlmConfig.Load(f).Width)];
        long window = rows * storage.RowBytes(widths) * layers.Count;
        long[] models = [.. folders.Select((f, m) => LlmMemory.Of(f, layers.Max(l => l[m]) + 1, head: false, batch, longest).Bytes + (layers.Count - 1L) * batch * widths[m] * sizeof(float))];
        long always = LlmMemory.Process + ((long)batch * widths.Max() * sizeof(float)) + training;
        long together = always + models.Sum(), alone = always + models.Max();

        // A pass of one window is filled once.
        bool two = windows > 1 && (together + 2 * window <= memory.Bytes || (together + window > memory.Bytes && alone + 2 * window <= memory.Bytes));
        int held = two ? 2 : 1;
        string advice = $"of that are {MemoryBudget.Size(window)} for a window and {MemoryBudget.Size(training)} for the training; train fewer layers or crosscoders at once, or lower --window or --latents";
        return new StreamNeeds(ModelsInMemory.Choose("stream with its training", together + held * window, alone + held * window, memory, advice), held, window);
    }

    /// <summary>Rows of the largest window of an order with its documents whole.</summary>
    public static long LargestWindow(ShuffledOrder order)
    {
        long rows = 0;
        for (long w = 0; w < order.WindowsOfPass; w++)
        {
            rows = Math.Max(rows, order.RowsOf(w));
        }

        return rows;
    }
}
