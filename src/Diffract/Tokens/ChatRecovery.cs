using Diffract.Text;

namespace Diffract.Tokens;

/// <summary>
/// Roles of token ids that somebody else stored (spec 10.5): the ids become text, the text becomes turns, and the turns, rendered and tokenised again, must give the ids back. Then every mark is the one
/// that tokenising the chat would have set. Safe to use from many threads.
/// </summary>
/// <param name="encoder">The chat model's tokenizer and template.</param>
/// <param name="hasTemplate">Whether there is a template: without one all is plain text.</param>
/// <param name="skipped">So many ids at the beginning of each document were not stored.</param>
public sealed class ChatRecovery(TextEncoder encoder, bool hasTemplate, int skipped)
{
    // What a cut may leave of a last word: it is not the same token when the word is whole, or when white space at the end is trimmed.
    const int MostLoose = 8;
    readonly ChatReader? _reader = hasTemplate ? encoder.Template.Reader() : null;

    /// <summary>A document with its marks.</summary>
    /// <param name="ids">As stored.</param>
    /// <returns>The ids from the document's beginning, those before the stored ones filled in where it is a chat; what it is; whether it begins as a chat but could not be read as one.</returns>
    public (EncodedText Text, TextSource Source, bool Unread) Recover(int[] ids)
    {
        string text = encoder.Tokenizer.Decode(ids);
        if (_reader?.Begins(text, skipped > 0) != true)
        {
            return (Plain(ids, TokenRole.Plain), TextSource.Document, false);
        }

        foreach (IReadOnlyList<Turn> turns in _reader.Read(text, skipped > 0))
        {
            if (encoder.TryChat(turns, out _) is { } encoded && Fit(encoded, ids, turns.Count - 1) is { } fitted)
            {
                return (fitted, TextSource.Chat, false);
            }
        }

        return (Plain(ids, TokenRole.None), TextSource.Document, true);
    }

    /// <summary>Ids of a text that is no chat.</summary>
    EncodedText Plain(int[] ids, TokenRole role)
    {
        byte[] roles = new byte[ids.Length], turns = new byte[ids.Length];
        Array.Fill(roles, (byte)role);
        Array.Fill(turns, TextEncoder.NoTurn);
        if (skipped == 0 && ids[0] == encoder.Tokenizer.BosId)
        {
            roles[0] = (byte)TokenRole.Bos;
        }

        return new EncodedText(ids, [], roles, new byte[ids.Length], turns);
    }

    /// <summary>The marks of a rendering for the stored ids; null where it gives other ids.</summary>
    EncodedText? Fit(EncodedText encoded, int[] ids, int lastTurn)
    {
        int length = skipped + ids.Length, same = skipped;
        while (same < length && same < encoded.Ids.Length && encoded.Ids[same] == ids[same - skipped])
        {
            same++;
        }

        bool loose = same > skipped && same < length;
        if (same < skipped || (loose && (length - same > MostLoose || encoded.Turns[same - 1] != Math.Min(lastTurn, TextEncoder.NoTurn - 1))))
        {
            return null;
        }

        byte[] roles = new byte[length], blocks = new byte[length], turns = new byte[length];
        for (int i = 0; i < length; i++)
        {
            int from = Math.Min(i, same - 1);
            (roles[i], blocks[i], turns[i]) = (encoded.Roles[from], i < same ? encoded.BlockPositions[i] : (byte)0, encoded.Turns[from]);
        }

        // What a cut left of a last word belongs to the text that it stands in.
        TokenRole text = encoded.Turns.Index().Where(t => t.Item == encoded.Turns[same - 1]).Aggregate(TokenRole.None, (all, t) => all | (TokenRole)encoded.Roles[t.Index]) & ~TokenRole.Template;
        for (int i = same; i < length; i++)
        {
            roles[i] = (byte)text;
        }

        return new EncodedText([.. encoded.Ids.AsSpan(0, skipped), .. ids], [], roles, blocks, turns);
    }
}
