namespace Diffract.Tokens;

/// <summary>One document or chat of a token store.</summary>
/// <param name="Number">Its place in the store, from 0.</param>
/// <param name="Start">Index of its first token among all tokens of the store.</param>
/// <param name="Length">Tokens, BOS included, at most the context.</param>
/// <param name="Source">Document or chat.</param>
/// <param name="Split">What it is used for.</param>
/// <param name="Id">The line's id, else file name and line.</param>
/// <param name="Labels">The line's labels; none for most.</param>
public sealed record TokenDocument(int Number, long Start, int Length, TextSource Source, Split Split, string Id, IReadOnlyList<string> Labels);
