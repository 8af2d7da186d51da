using System.Text.Json.Serialization;

namespace Diffract.Tokens;

/// <summary>One document or chat of a token store.</summary>
/// <param name="Number">Its place in the store, from 0.</param>
/// <param name="Start">Index of its first token among all tokens of the store.</param>
/// <param name="Length">Tokens, BOS included, at most the context.</param>
/// <param name="Source">Document or chat.</param>
/// <param name="Split">What it is used for.</param>
/// <param name="Id">The line's id, else file name and line.</param>
/// <param name="Labels">The line's labels; none for most.</param>
public sealed record TokenDocument(int Number, long Start, int Length, TextSource Source, Split Split, string Id, IReadOnlyList<string> Labels)
{
    /// <summary>Tokens whose activations are stored; null: all.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public int? Kept { get; init; }

    /// <summary>Tokens that the base model reads; null: the same ones as the chat model.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public int? BaseLength { get; init; }

    /// <summary>How many tokens model <paramref name="model"/> reads (0 the base).</summary>
    public int LengthOf(int model) => model == 0 ? BaseLength ?? Length : Length;

    /// <summary>Rows of the activation store that the document has, at least one.</summary>
    [JsonIgnore]
    public int Rows => Kept ?? Length;

    /// <summary>Its first row in the activation store; the others follow, in the order of their tokens.</summary>
    [JsonIgnore]
    public long FirstRow
    {
        get => field < 0 ? Start : field;
        init;
    } = -1;

    /// <summary>Index of its first token among all that the base model reads.</summary>
    [JsonIgnore]
    public long BaseStart
    {
        get => field < 0 ? Start : field;
        init;
    } = -1;
}
