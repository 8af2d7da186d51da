namespace Diffract.Tokens;

/// <summary>A document or chat as tokens: for each token its id, code points of the text, role flags, 1-based position within its run of template tokens (0 outside), 0-based turn (255 outside).</summary>
public sealed record EncodedText(int[] Ids, (int Start, int End)[] Offsets, byte[] Roles, byte[] BlockPositions, byte[] Turns)
{
    /// <summary>The text that the offsets count in: a document, or a chat as its template writes it.</summary>
    public string Text { get; init; } = "";
}
