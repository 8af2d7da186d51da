namespace Diffract.Scaling;

/// <summary>Contiguous blocks of documents with about the same number of tokens.</summary>
public static class DocumentBlocks
{
    /// <summary>
    /// First document of each block, and the number of documents at the end. A document belongs to the block in which its middle token falls; where that leaves a block empty
    /// (few or very long documents) there are fewer blocks.
    /// </summary>
    /// <param name="lengths">Tokens of each document, in order.</param>
    /// <param name="blocks">Blocks wanted.</param>
    public static int[] Split(IReadOnlyList<int> lengths, int blocks)
    {
        long total = lengths.Sum(n => (long)n), before = 0;
        List<int> starts = [];
        long last = -1;
        for (int d = 0; d < lengths.Count; d++)
        {
            long block = Math.Min(blocks - 1, (before * 2 + lengths[d]) * blocks / Math.Max(1, total * 2));
            if (block != last)
            {
                starts.Add(d);
                last = block;
            }

            before += lengths[d];
        }

        starts.Add(lengths.Count);
        return [.. starts];
    }
}
