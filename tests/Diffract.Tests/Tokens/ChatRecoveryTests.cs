using Diffract.Text;
using Diffract.Tokens;

namespace Diffract.Tests.Tokens;

/// <summary>Roles from ids: cut anywhere, a chat gives the marks that tokenising it whole would have set there.</summary>
public sealed class ChatRecoveryTests
{
    static readonly TextEncoder Encoder = TextEncoder.Load(Path.Combine(GoldenFiles.Assets, "chat"));

    [Fact]
    public void A_chat_cut_after_any_token_keeps_its_marks()
    {
        ChatRecovery recovery = new(Encoder, hasTemplate: true, skipped: 0);
        Turn[] chat = [new("user", "What is a lamp for?"), new("assistant", "It gives light.\nIn the dark."), new("user", "And a bell?"), new("assistant", "It rings.")];
        EncodedText whole = Encoder.Chat(chat);
        int first = Array.FindIndex(whole.Roles, r => (r & (int)TokenRole.User) != 0);
        Assert.True(whole.Ids.Length > 30 && first > 2);
        for (int length = first; length <= whole.Ids.Length; length++)
        {
            (EncodedText text, TextSource source, bool unread) = recovery.Recover(whole.Ids[..length]);
            Assert.Equal((TextSource.Chat, false), (source, unread));
            Assert.Equal(whole.Ids[..length], text.Ids);
            Assert.Equal(whole.Roles[..length], text.Roles);
            Assert.Equal(whole.Turns[..length], text.Turns);
            Assert.Equal(whole.BlockPositions[..length], text.BlockPositions);
        }
    }

    [Fact]
    public void Positions_that_were_not_stored_are_filled_in()
    {
        EncodedText whole = Encoder.Chat([new("user", "Hello there"), new("assistant", "Good day to you.")]);

        // Gemma's collectors leave out nothing; left out here is what stands before the user's header, as Llama's leave out the system block.
        int header = Array.FindIndex(whole.Roles, r => (r & (int)TokenRole.Template) != 0);
        ChatRecovery recovery = new(Encoder, hasTemplate: true, skipped: header);
        (EncodedText text, TextSource source, _) = recovery.Recover(whole.Ids[header..]);
        Assert.Equal(TextSource.Chat, source);
        Assert.Equal(whole.Ids, text.Ids);
        Assert.Equal(whole.Roles, text.Roles);
    }

    [Fact]
    public void Text_is_plain_and_what_begins_as_a_chat_but_is_none_is_unknown()
    {
        ChatRecovery recovery = new(Encoder, hasTemplate: true, skipped: 0);
        EncodedText plain = Encoder.Document("A lamp stood on the table.");
        (EncodedText text, TextSource source, bool unread) = recovery.Recover(plain.Ids);
        Assert.Equal((TextSource.Document, false), (source, unread));
        Assert.Equal(plain.Roles, text.Roles);

        // Two tokens of a word where the tokenizer has one: it would not have made these ids.
        EncodedText chat = Encoder.Chat([new("user", "What is a lamp for?"), new("assistant", "It gives light.")]);
        int at = Array.FindIndex(chat.Roles, r => (r & (int)TokenRole.User) != 0);
        int l = Encoder.Tokenizer.IdOf("l")!.Value, a = Encoder.Tokenizer.IdOf("a")!.Value, m = Encoder.Tokenizer.IdOf("m")!.Value, p = Encoder.Tokenizer.IdOf("p")!.Value;
        (text, source, unread) = recovery.Recover([.. chat.Ids[..(at + 1)], l, a, m, p, .. chat.Ids[(at + 1)..]]);
        Assert.Equal((TextSource.Document, true), (source, unread));
        Assert.All(text.Roles[1..], r => Assert.Equal(0, r));
        Assert.All(new ChatRecovery(Encoder, hasTemplate: false, skipped: 0).Recover(chat.Ids).Text.Roles[1..], r => Assert.Equal((byte)TokenRole.Plain, r));
    }
}
