namespace Diffract.Evidence;

/// <summary>A window of one held-out document around the place where a latent is strongest.</summary>
/// <param name="Document">Number of the document in the token store.</param>
/// <param name="DocumentId">Its id in the text file.</param>
/// <param name="Source">"document" or "chat".</param>
/// <param name="Labels">The text's labels; empty when it has none.</param>
/// <param name="FirstToken">Index within the document of the window's first token.</param>
/// <param name="Tokens">The window's tokens as text.</param>
/// <param name="Activations">Scaled code of the latent at each token of the window.</param>
/// <param name="Roles">Role flags of each token: bos 1, template 2, user 4, assistant 8, plain 16.</param>
/// <param name="Peak">Index within the window of the strongest token.</param>
/// <param name="Max">Scaled code there: the maximum over the whole document.</param>
public sealed record TokenExample(
    int Document, string DocumentId, string Source, IReadOnlyList<string> Labels, int FirstToken, string[] Tokens, float[] Activations, int[] Roles, int Peak, double Max);
