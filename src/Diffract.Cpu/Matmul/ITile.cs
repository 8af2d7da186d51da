namespace Diffract.Cpu.Matmul;

/// <summary>
/// A register tile: c[i, j] (+)= Σ_k a[i, k]·b[k, j] for a few rows of <c>a</c> and one packed panel of <c>b</c>. Every element is one chain of fused multiply-adds
/// in the order of k, whatever the tile's size, so that all tiles, and all ways of cutting a product, give the same bits.
/// An implementation holds its accumulators in registers and so must contain no call: the JIT would spill all of them.
/// </summary>
unsafe interface ITile
{
    /// <summary>Rows of a.</summary>
    static abstract int Rows { get; }

    /// <summary>Width of a panel of b.</summary>
    static abstract int Columns { get; }

    /// <summary>Steps of k for which one panel stays in the first-level cache.</summary>
    static abstract int Depth { get; }

    /// <param name="depth">Steps of k.</param>
    /// <param name="a">First element of the first row.</param>
    /// <param name="lda">Elements from row to row.</param>
    /// <param name="rows">Rows that exist, 1 to <see cref="Rows"/>; the last one stands in for those that do not.</param>
    /// <param name="b">[depth][Columns], contiguous, aligned to 64 bytes.</param>
    /// <param name="c">First element; each row takes <see cref="Columns"/> elements.</param>
    /// <param name="ldc">Elements from row to row of c.</param>
    /// <param name="accumulate">Start from c instead of from 0.</param>
    /// <param name="step">Elements of a from one k to the next.</param>
    static abstract void Run(nint depth, float* a, nint lda, int rows, float* b, float* c, nint ldc, bool accumulate, nint step = 1);
}
