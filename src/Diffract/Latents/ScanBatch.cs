using Diffract.Compute.Buffers;

namespace Diffract.Latents;

/// <summary>Rows of documents laid end to end; valid until the next batch is asked for.</summary>
/// <param name="Acts_BE">[B, E].</param>
/// <param name="Pieces">What the rows are, in order.</param>
public sealed record ScanBatch(Matrix Acts_BE, IReadOnlyList<ScanPiece> Pieces);
