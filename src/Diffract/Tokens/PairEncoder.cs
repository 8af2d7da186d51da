using Diffract.Text;

namespace Diffract.Tokens;

/// <summary>Encodes lines for both models of a pair and decides which tokens are stored. Safe to use from many threads.</summary>
/// <param name="chat">The chat model's encoder.</param>
/// <param name="skipFirst">So many positions at the beginning of each document are not stored (spec 1.3).</param>
/// <param name="other">The base model's tokenizer where it is another one; null: both models read the same ids.</param>
sealed class PairEncoder(TextEncoder chat, int skipFirst, Tokenizer? other = null)
{
    /// <summary>Encodes a line, cut after <paramref name="context"/> tokens of each model; null for a chat that cannot be, with why in words that follow "the chat".</summary>
    public PairText? Encode(TextItem item, int context, out string? fault)
    {
        fault = null;
        EncodedText? text = item.Turns is null ? chat.Document(item.Text!, context) : chat.TryChat(item.Turns, out fault, context);
        if (text is null)
        {
            return null;
        }

        if (other is not null)
        {
            return Align(text, other, context);
        }

        return skipFirst == 0 ? new PairText(text) : new PairText(text, [.. Enumerable.Range(skipFirst, Math.Max(0, text.Ids.Length - skipFirst))]);
    }

    /// <summary>The base model reads the same text by its own tokenizer, with its own special tokens: the chat model's BOS, when the text begins with it, is left out.</summary>
    PairText Align(EncodedText text, Tokenizer baseTokenizer, int context)
    {
        int begin = text.Ids.Length > 0 && text.Ids[0] == chat.Tokenizer.BosId ? text.Offsets[0].End : 0;
        Encoding read = baseTokenizer.Encode(begin == 0 ? text.Text : new CodePointText(text.Text).From(begin));
        int length = Math.Min(read.Ids.Length, context);
        (int[] tokens, int[] baseTokens) = TextAlignment.Of(
            Array.ConvertAll(text.Offsets, o => Math.Max(o.End, begin)), Array.ConvertAll(read.Offsets[..length], o => o.End + begin));
        int[] kept = [.. Enumerable.Range(0, tokens.Length).Where(i => tokens[i] >= skipFirst && baseTokens[i] >= skipFirst)];
        return new PairText(text, [.. kept.Select(i => tokens[i])], [.. kept.Select(i => baseTokens[i])], read.Ids[..length]);
    }
}
