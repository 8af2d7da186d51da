using Diffract.Tokens;

namespace Diffract.Latents;

/// <summary>Consecutive tokens of one document inside a batch.</summary>
/// <param name="Document">The document.</param>
/// <param name="FirstToken">Index within the document of the piece's first token.</param>
/// <param name="Count">Tokens.</param>
/// <param name="FirstRow">Row of the batch that holds the first token.</param>
public readonly record struct ScanPiece(TokenDocument Document, int FirstToken, int Count, int FirstRow);
