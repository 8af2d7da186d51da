namespace Diffract.Planted;

/// <summary>What says that a learned latent belongs to one model; <see cref="Claims"/> has the definitions.</summary>
public enum ClaimRule
{
    ChatByNorm,
    ChatByScaling,
    ChatByBoth,
    BaseByNorm,
    BaseByScaling,
    BaseByBoth,
}
