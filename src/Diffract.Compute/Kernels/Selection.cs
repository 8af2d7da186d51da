using Diffract.Compute.Buffers;

namespace Diffract.Compute.Kernels;

/// <summary>Which pre-activations become active.</summary>
public enum SelectionRule
{
    /// <summary>Every pair with p = ReLU(pre) &gt; 0 (L1 crosscoder).</summary>
    Positive,

    /// <summary>The <see cref="Selection.Count"/> largest q = p·s of the whole batch, positive ones only (training of BatchTopK).</summary>
    BatchTopK,

    /// <summary>Every pair with p &gt; 0 and q = p·s &gt; <see cref="Selection.Threshold"/>, strictly (inference of BatchTopK).</summary>
    Threshold,

    /// <summary>Every pair with p &gt; 0 and q = p·s &gt; <see cref="Selection.Threshold_L"/> of its latent (from 0), strictly (JumpReLU).</summary>
    ThresholdEach,
}

/// <summary>A selection rule with its parameter.</summary>
/// <param name="Rule">Which rule.</param>
/// <param name="Count">Pairs to keep in the batch (k·B), for <see cref="SelectionRule.BatchTopK"/>.</param>
/// <param name="Threshold">For <see cref="SelectionRule.Threshold"/>, in scaled units.</param>
public readonly record struct Selection(SelectionRule Rule, int Count = 0, float Threshold = 0)
{
    public static Selection Positive => new(SelectionRule.Positive);

    public static Selection BatchTopK(int count) => new(SelectionRule.BatchTopK, count);

    /// <summary>[1, L], from 0, for <see cref="SelectionRule.ThresholdEach"/>, in scaled units.</summary>
    public Matrix? Threshold_L { get; init; }

    public static Selection Above(float threshold) => new(SelectionRule.Threshold, 0, threshold);

    public static Selection AboveEach(Matrix threshold_L) => new(SelectionRule.ThresholdEach) { Threshold_L = threshold_L };
}
