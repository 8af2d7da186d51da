using Diffract.Runs;
using Diffract.Text;

namespace Diffract.Tokens;

/// <summary>
/// What must hold for Gemma's turn format with other words, so that activations can be compared position by position: each word is one token, and on a sample of chats every turn has its five tokens
/// around the same text; where Gemma's own words are one token each, lengths and roles are those of Gemma's format.
/// </summary>
static class CustomFormat
{
    const int Sample = 64;

    /// <summary>Refuses a word that is not one token.</summary>
    public static void CheckWords(Tokenizer tokenizer, ChatFormat format)
    {
        foreach ((string name, string word) in format.Words)
        {
            if (Tokens(tokenizer, word) is var count and not 1)
            {
                throw DiffractException.Argument($"--{name.Replace('_', '-')} \"{word}\" is {count} tokens of this tokenizer, wanted a word that is one token, so that every chat keeps its length");
            }
        }
    }

    /// <summary>Compares the first chats; other formats pass.</summary>
    /// <param name="encoder">Writes chats in the format.</param>
    /// <param name="modelFolder">The checkpoint.</param>
    /// <param name="format">The format; null: the checkpoint's own.</param>
    /// <param name="items">Lines, of which chats are looked at.</param>
    /// <exception cref="DiffractException">A chat has other tokens than its words account for.</exception>
    public static void Check(TextEncoder encoder, string modelFolder, ChatFormat? format, IEnumerable<TextItem> items)
    {
        if (format is null || format.Words.Count == 0)
        {
            return;
        }

        ChatFormat gemma = ChatFormat.Custom();
        TextEncoder? reference = gemma.Words.Values.All(w => Tokens(encoder.Tokenizer, w) == 1) ? TextEncoder.Load(modelFolder, gemma) : null;
        foreach (TextItem item in items.Where(i => i.Turns is not null).Take(Sample))
        {
            if (encoder.TryChat(item.Turns!, out _) is not { } made)
            {
                continue;
            }

            int around = made.Roles.Count(r => (r & (byte)TokenRole.Template) != 0);
            if (around != 5 * item.Turns!.Count)
            {
                throw new DiffractException($"{item.Place}: its {item.Turns.Count} turns have {around} template tokens in the custom format, wanted five a turn; choose words that do not merge with what stands beside them");
            }

            if (reference?.TryChat(item.Turns, out _) is { } own && !own.Roles.AsSpan().SequenceEqual(made.Roles))
            {
                throw new DiffractException($"{item.Place}: the custom format gives {made.Ids.Length} tokens, Gemma's own {own.Ids.Length}, or other roles; choose words that do not merge with what stands beside them");
            }
        }
    }

    static int Tokens(Tokenizer tokenizer, string word) => tokenizer.Encode(word, addSpecialTokens: false).Ids.Length;
}
