using Diffract.Text;

namespace Diffract.Tokens;

/// <summary>Encodes lines for both models of a pair and decides which tokens are stored. Safe to use from many threads.</summary>
/// <param name="chat">The chat model's encoder.</param>
/// <param name="skipFirst">So many positions at the beginning of each document are not stored (spec 1.3).</param>
sealed class PairEncoder(TextEncoder chat, int skipFirst)
{
    /// <summary>Encodes a line, cut after <paramref name="context"/> tokens.</summary>
    public PairText Encode(TextItem item, int context)
    {
        EncodedText text = chat.Encode(item, context);
        return skipFirst == 0 ? new PairText(text) : new PairText(text, [.. Enumerable.Range(skipFirst, Math.Max(0, text.Ids.Length - skipFirst))]);
    }
}
