namespace Diffract.Cpu.Matmul;

/// <summary>
/// A register tile of 16-bit integers: c[i, j] (+)= Σ_k a[i, k]·b[k, j], two steps of k at a time, summed exactly in 32 bits as long as the caller knows that no sum
/// can leave them. The rules of <see cref="ITile"/> hold: no call beside the accumulators.
/// </summary>
unsafe interface ITileI16
{
    /// <summary>Rows of a.</summary>
    static abstract int Rows { get; }

    /// <summary>Width of a panel of b.</summary>
    static abstract int Columns { get; }

    /// <summary>Pairs of k for which one panel stays in the first-level cache.</summary>
    static abstract int Depth { get; }

    /// <param name="depth">Pairs of k.</param>
    /// <param name="a">First pair of the first row: two 16-bit numbers in an int.</param>
    /// <param name="lda">Pairs from row to row.</param>
    /// <param name="rows">Rows that exist, 1 to <see cref="Rows"/>; the last one stands in for those that do not.</param>
    /// <param name="b">[depth][Columns] pairs, contiguous, aligned to 64 bytes.</param>
    /// <param name="c">First element; each row takes <see cref="Columns"/> elements.</param>
    /// <param name="ldc">Elements from row to row of c.</param>
    /// <param name="accumulate">Start from c instead of from 0.</param>
    static abstract void Run(nint depth, int* a, nint lda, int rows, int* b, int* c, nint ldc, bool accumulate);
}
