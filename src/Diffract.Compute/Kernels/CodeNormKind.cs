namespace Diffract.Compute.Kernels;

/// <summary>How s is made from the decoder norms: spec 2.3.</summary>
public enum CodeNormKind
{
    /// <summary>s_j = Σ_m ‖d_jm‖.</summary>
    Crosscoder,

    /// <summary>s_j = √(Σ_m ‖d_jm‖²).</summary>
    Sae,

    /// <summary>s_j = α_sae·Sae + α_cc·Crosscoder.</summary>
    Mixed,

    /// <summary>s_j = 1.</summary>
    None,

    /// <summary>‖d_jm‖ for each model: BatchTopK selects for each model on its own. Where one number is asked for, s_j = Σ_m ‖d_jm‖.</summary>
    Decoupled,
}
