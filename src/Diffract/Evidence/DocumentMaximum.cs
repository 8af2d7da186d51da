namespace Diffract.Evidence;

/// <summary>Where a latent is strongest in one document.</summary>
/// <param name="Document">Number in the token store.</param>
/// <param name="Peak">Token index within the document; the first of equal ones.</param>
/// <param name="Max">Scaled code there.</param>
public readonly record struct DocumentMaximum(int Document, int Peak, float Max);
