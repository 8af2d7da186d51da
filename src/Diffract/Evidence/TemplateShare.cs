namespace Diffract.Evidence;

/// <summary>The part of a latent's activations on held-out chats that falls on template tokens.</summary>
/// <param name="Latent">Its index.</param>
/// <param name="Share">Template activations / (template + other activations), BOS left out; NaN when there are none.</param>
/// <param name="Active">Activations counted.</param>
public sealed record TemplateShare(int Latent, double Share, long Active);
