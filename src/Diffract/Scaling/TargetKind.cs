namespace Diffract.Scaling;

/// <summary>What is explained by a latent's direction times its code, in each model (spec 5.2). h is the activation, r the reconstruction.</summary>
public enum TargetKind
{
    /// <summary>h.</summary>
    Activation,

    /// <summary>h - b_dec.</summary>
    ActivationNoBias,

    /// <summary>r, with bias and with the latent itself.</summary>
    Reconstruction,

    /// <summary>h - (r - f·d): the error, with the latent's own part put back.</summary>
    Error,
}
