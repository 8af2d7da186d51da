namespace Diffract.Compute.Kernels;

/// <summary>
/// Allowed error of each operation against the reference, as max|a-b| ≤ Tolerance·max|b|, for float32 with float32 accumulation. One table, used by all contract tests.
/// </summary>
public static class Tolerance
{
    /// <summary>Products over at most a few thousand terms.</summary>
    public const double MatMul = 2e-5;

    /// <summary>Element-wise operations and short sums.</summary>
    public const double Elementwise = 2e-6;

    /// <summary>Attention: two products and a softmax.</summary>
    public const double Attention = 2e-5;

    /// <summary>Weights and moments after one step of Adam.</summary>
    public const double Adam = 1e-5;

    /// <summary>Sums taken in double on both sides, from products of float32 values.</summary>
    public const double DoubleSums = 1e-9;
}
