namespace Diffract.Latents;

/// <summary>What a latent's relative decoder norm says it belongs to; <see cref="LatentClasses"/> has the bounds.</summary>
public enum LatentClass
{
    /// <summary>Delta-norm above 0.9: the base model's decoder row is all but zero.</summary>
    ChatOnly,

    /// <summary>Delta-norm below 0.1.</summary>
    BaseOnly,

    /// <summary>Delta-norm within 0.1 of 0.5.</summary>
    Shared,

    /// <summary>In between, or both decoder rows zero.</summary>
    Other,
}
