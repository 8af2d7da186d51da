namespace Diffract.Cpu.Matmul;

/// <summary>What a product does with its results instead of writing them.</summary>
/// <param name="finish">Takes a block of finished sums.</param>
/// <param name="ahead">Called a few rows at a time while a block is being summed, to fetch what <paramref name="finish"/> will need; or null.</param>
/// <param name="state">Handed to both.</param>
/// <param name="wholeRows">True: a block is a few whole rows. False: a few rows by one panel, still in the first-level cache; the blocks of the same rows come in the order of their columns, from one worker.</param>
readonly unsafe struct ProductEnd(delegate*<void*, ProductBlock*, void> finish, delegate*<void*, ProductBlock*, int, int, void> ahead, void* state, bool wholeRows)
{
    public readonly delegate*<void*, ProductBlock*, void> Finish = finish;

    /// <summary>State, block, first row of the block, number of rows.</summary>
    public readonly delegate*<void*, ProductBlock*, int, int, void> Ahead = ahead;

    public readonly void* State = state;

    public readonly bool WholeRows = wholeRows;
}
