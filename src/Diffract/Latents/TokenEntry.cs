namespace Diffract.Latents;

/// <summary>One active latent of a token.</summary>
/// <param name="Token">Index within the document.</param>
/// <param name="Latent">Its index in the dictionary.</param>
/// <param name="Value">Scaled activation f·s.</param>
public readonly record struct TokenEntry(int Token, int Latent, float Value);
