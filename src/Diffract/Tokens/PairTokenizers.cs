using Diffract.Text;

namespace Diffract.Tokens;

/// <summary>How the tokenizers of a pair relate, found on some texts.</summary>
/// <param name="Difference">The first text of which they make different tokens, and these; null: both models can read the chat model's ids.</param>
/// <param name="Lacking">Tokens of the texts that the base tokenizer lacks, or has another token in place of.</param>
sealed record PairTokenizers(string? Difference, IReadOnlyList<int> Lacking)
{
    /// <summary>
    /// Encodes the texts by both. They agree when they make the same ids of every text, tokens aside that the base tokenizer lacks: where it lacks some, each piece of text between those must give the same ids.
    /// </summary>
    public static PairTokenizers Compare(IEnumerable<TextItem> items, Tokenizer baseTokenizer, TextEncoder chat)
    {
        TextEncoder baseEncoder = new(baseTokenizer, () => chat.Template);
        SortedSet<int> lacking = [];
        foreach (TextItem item in items)
        {
            if (item.Turns is not null && chat.TryChat(item.Turns, out _) is null)
            {
                continue;
            }

            EncodedText read = chat.Encode(item);
            int[] a = baseEncoder.Encode(item).Ids, b = read.Ids;
            int[] other = [.. b.Where(id => baseTokenizer.TokenText(id) != chat.Tokenizer.TokenText(id)).Distinct()];
            int[] lacks = [.. other.Where(chat.Tokenizer.IsAdded)];
            lacking.UnionWith(lacks);
            int at = a.AsSpan().CommonPrefixLength(b);

            // A base model may lack what was added for chats; where ordinary tokens are others, it has another vocabulary.
            bool foreign = lacks.Length < other.Length;
            if (foreign || at < Math.Max(a.Length, b.Length) && !(lacks.Length > 0 && PiecesAgree(read, lacks, baseTokenizer, chat.Tokenizer)))
            {
                return new PairTokenizers(
                    $"{item.Id} ({item.File} line {item.Line}), where token {at} is {Name(baseTokenizer, a, at)} for the base, {Name(chat.Tokenizer, b, at)} for the chat model", [.. lacking]);
            }
        }

        return new PairTokenizers(null, [.. lacking]);
    }

    static bool PiecesAgree(EncodedText read, int[] lacks, Tokenizer baseTokenizer, Tokenizer chat)
    {
        CodePointText text = new(read.Text);
        for (int first = 0; first < read.Ids.Length; first++)
        {
            if (lacks.Contains(read.Ids[first]) || read.Offsets[first].End == 0)
            {
                continue;
            }

            int last = first;
            while (last + 1 < read.Ids.Length && !lacks.Contains(read.Ids[last + 1]) && read.Offsets[last + 1].End > 0)
            {
                last++;
            }

            string piece = text.Slice(read.Offsets[first].Start, read.Offsets[last].End);
            if (!baseTokenizer.Encode(piece, addSpecialTokens: false).Ids.AsSpan().SequenceEqual(chat.Encode(piece, addSpecialTokens: false).Ids))
            {
                return false;
            }

            first = last;
        }

        return true;
    }

    static string Name(Tokenizer tokenizer, int[] ids, int at) => at < ids.Length ? $"{ids[at]} \"{tokenizer.TokenText(ids[at])}\"" : "missing";
}
