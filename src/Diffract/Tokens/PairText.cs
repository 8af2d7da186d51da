namespace Diffract.Tokens;

/// <summary>A document or chat as both models read it.</summary>
/// <param name="Text">The chat model's tokens.</param>
/// <param name="Positions">Which of them are stored, ascending; null: all.</param>
/// <param name="BasePositions">Where the base model's activation for each of them stands; null: at the same positions.</param>
/// <param name="BaseIds">What the base model reads; null: the same tokens.</param>
sealed record PairText(EncodedText Text, int[]? Positions = null, int[]? BasePositions = null, int[]? BaseIds = null)
{
    /// <summary>Stored tokens.</summary>
    public int Rows => Positions?.Length ?? Text.Ids.Length;
}
