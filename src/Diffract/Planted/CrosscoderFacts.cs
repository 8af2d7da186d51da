namespace Diffract.Planted;

/// <summary>How well a crosscoder was trained, from its manifest; NaN where that does not say.</summary>
/// <param name="Explained">Variance explained on the held-out split, pooled.</param>
/// <param name="L0">Active latents a token.</param>
/// <param name="DeadShare">Share of the latents that never fired.</param>
public sealed record CrosscoderFacts(double Explained, double L0, double DeadShare);
