using Diffract.Runs;

namespace Diffract.Llms;

/// <summary>Whether a stage holds both models at once or one at a time, decided by the memory that it may take. Both ways give the same bits.</summary>
/// <param name="Together">Both at once.</param>
/// <param name="Bytes">What the stage takes that way.</param>
/// <param name="Why">The decision and its reason, as a clause.</param>
public sealed record ModelsInMemory(bool Together, long Bytes, string Why)
{
    /// <param name="stage">For the message of a refusal.</param>
    /// <param name="together">Bytes with both models.</param>
    /// <param name="alone">Bytes with one at a time.</param>
    /// <param name="memory">The bound.</param>
    /// <param name="advice">What to do where even one is too large.</param>
    /// <exception cref="DiffractException">Not even one fits.</exception>
    public static ModelsInMemory Choose(string stage, long together, long alone, MemoryBudget memory, string advice)
    {
        if (together <= memory.Bytes)
        {
            return new ModelsInMemory(true, together, $"both models at once, {MemoryBudget.Size(together)} ({memory})");
        }

        return alone <= memory.Bytes
            ? new ModelsInMemory(false, alone, $"one model at a time, {MemoryBudget.Size(alone)} (both at once would take {MemoryBudget.Size(together)}, {memory})")
            : throw new DiffractException(
                $"the memory is too small: the {stage} takes {MemoryBudget.Size(alone)} with one model at a time, {memory}; {advice}, or give --memory where the system may read weights from disk again and again");
    }
}
