using Diffract.Tokens;

namespace Diffract.Evidence;

/// <summary>A chat as the interventions read it.</summary>
/// <param name="Key">How results name it: its line, or its document number.</param>
/// <param name="Ids">Token ids, BOS included.</param>
/// <param name="Masks">Which positions predict an answer, and which tokens are the template's.</param>
public sealed record EditChat(int Key, int[] Ids, AnswerMasks Masks)
{
    /// <summary>So many positions at the beginning keep the chat model's own activations, whatever the edit.</summary>
    public int SkipFirst { get; init; }

    /// <summary>What the base model reads, as many ids as the chat model.</summary>
    public int[] BaseIds { get; init; } = Ids;
}
