namespace Diffract.Tokens;

/// <summary>A text as token ids, with the code points [Start, End) of the text that each token stands for; (0, 0) for a token that the tokenizer added.</summary>
public sealed record Encoding(int[] Ids, (int Start, int End)[] Offsets);
