using Diffract.Tokens;

namespace Diffract.Latents;

/// <summary>Consecutive stored tokens of one document inside a batch.</summary>
/// <param name="Document">The document.</param>
/// <param name="FirstKept">Place of the piece's first token among the document's stored ones.</param>
/// <param name="Count">Tokens.</param>
/// <param name="FirstRow">Row of the batch that holds the first token.</param>
public readonly record struct ScanPiece(TokenDocument Document, int FirstKept, int Count, int FirstRow);
