namespace Diffract.Latents;

/// <summary>One activation of a latent.</summary>
/// <param name="Document">Number of the document.</param>
/// <param name="Token">Index within the document.</param>
/// <param name="Value">Scaled activation f·s.</param>
public readonly record struct LatentEntry(int Document, int Token, float Value);
