namespace Diffract.Compute.Kernels;

/// <summary>The code norm with its parameters.</summary>
/// <param name="Kind">How s is made from the decoder norms.</param>
/// <param name="AlphaSae">Mixed: weight of the norm of <see cref="CodeNormKind.Sae"/>.</param>
/// <param name="AlphaCc">Mixed: weight of the norm of <see cref="CodeNormKind.Crosscoder"/>.</param>
public readonly record struct CodeNorm(CodeNormKind Kind, double AlphaSae = 1.0, double AlphaCc = 0.1)
{
    /// <summary>A kind with the defaults of spec 3.1.</summary>
    public static implicit operator CodeNorm(CodeNormKind kind) => new(kind);

    /// <summary>s_j from Σ_m ‖d_jm‖ and Σ_m ‖d_jm‖².</summary>
    public double Scale(double normSum, double squareSum) => Kind switch
    {
        CodeNormKind.Crosscoder or CodeNormKind.Decoupled => normSum,
        CodeNormKind.Sae => Math.Sqrt(squareSum),
        CodeNormKind.Mixed => AlphaSae * Math.Sqrt(squareSum) + AlphaCc * normSum,
        CodeNormKind.None => 1,
        _ => throw new InvalidOperationException($"code norm {Kind} has no formula"),
    };

    /// <summary>∂s_j/∂‖d_jm‖, from ‖d_jm‖ and Σ_m ‖d_jm‖²; 0 at a latent of norm 0.</summary>
    public double Slope(double norm, double squareSum)
    {
        double sae = squareSum > 0 ? norm / Math.Sqrt(squareSum) : 0;
        return Kind switch
        {
            CodeNormKind.Crosscoder or CodeNormKind.Decoupled => 1,
            CodeNormKind.Sae => sae,
            CodeNormKind.Mixed => AlphaSae * sae + AlphaCc,
            CodeNormKind.None => 0,
            _ => throw new InvalidOperationException($"code norm {Kind} has no formula"),
        };
    }
}
