namespace Diffract.Planted;

/// <summary>What a true latent is in the two models.</summary>
public enum TruthClass
{
    /// <summary>The same direction and norm in both.</summary>
    Shared,

    /// <summary>The same norm, directions at a given cosine.</summary>
    Rotated,

    /// <summary>The same direction, one model's norm a fraction of the other's.</summary>
    Rescaled,

    /// <summary>Only in the base model.</summary>
    BaseOnly,

    /// <summary>Only in the chat model.</summary>
    ChatOnly,

    /// <summary>
    /// One of a pair: a base latent and a chat latent with the same direction that fire on overlapping, but different tokens. The concept is in both models, so neither is specific to one.
    /// </summary>
    Decoupled,
}
