using Diffract.Text;

namespace Diffract.Tokens;

/// <summary>Encodes lines for both models of a pair and decides which tokens are stored. Safe to use from many threads.</summary>
/// <param name="chat">The chat model's encoder.</param>
/// <param name="skipFirst">So many positions at the beginning of each document are not stored (spec 1.3).</param>
sealed class PairEncoder(TextEncoder chat, int skipFirst)
{
    /// <summary>Encodes a line, cut after <paramref name="context"/> tokens; null for a chat that cannot be, with why in words that follow "the chat".</summary>
    public PairText? Encode(TextItem item, int context, out string? fault)
    {
        fault = null;
        EncodedText? text = item.Turns is null ? chat.Document(item.Text!, context) : chat.TryChat(item.Turns, out fault, context);
        if (text is null)
        {
            return null;
        }

        return skipFirst == 0 ? new PairText(text) : new PairText(text, [.. Enumerable.Range(skipFirst, Math.Max(0, text.Ids.Length - skipFirst))]);
    }
}
