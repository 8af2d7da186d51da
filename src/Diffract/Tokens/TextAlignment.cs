namespace Diffract.Tokens;

/// <summary>
/// Finds where two tokenizers have read the same text: a chat token and a base token that end at the same code point. Of tokens that end there together (bytes of one character, special tokens before the text)
/// the last counts, since only then all of it has been read.
/// </summary>
public static class TextAlignment
{
    /// <summary>Indices of the tokens that belong together, both ascending.</summary>
    /// <param name="chat">Ends of the chat model's tokens, in code points of the text.</param>
    /// <param name="baseModel">Ends of the base model's tokens.</param>
    public static (int[] Chat, int[] Base) Of(ReadOnlySpan<int> chat, ReadOnlySpan<int> baseModel)
    {
        List<(int End, int Token)> a = Ends(chat), b = Ends(baseModel);
        List<int> chatTokens = [], baseTokens = [];
        for (int i = 0, j = 0; i < a.Count && j < b.Count;)
        {
            if (a[i].End == b[j].End)
            {
                chatTokens.Add(a[i++].Token);
                baseTokens.Add(b[j++].Token);
            }
            else if (a[i].End < b[j].End)
            {
                i++;
            }
            else
            {
                j++;
            }
        }

        return ([.. chatTokens], [.. baseTokens]);
    }

    /// <summary>Each end that tokens reach for the first time, with the last token that has it; a token that ends before others already have (one put after the text) has read nothing new.</summary>
    static List<(int End, int Token)> Ends(ReadOnlySpan<int> ends)
    {
        List<(int End, int Token)> reached = [];
        for (int i = 0; i < ends.Length; i++)
        {
            if (reached.Count > 0 && ends[i] == reached[^1].End)
            {
                reached[^1] = (ends[i], i);
            }
            else if (reached.Count == 0 || ends[i] > reached[^1].End)
            {
                reached.Add((ends[i], i));
            }
        }

        return reached;
    }
}
