using System.Text.Json;
using Diffract.Formats;
using Diffract.Runs;
using Diffract.Text;
using Diffract.Tokens;

namespace Diffract.Tests.Tokens;

public sealed class TextEncoderTests
{
    static readonly string Model = Path.Combine(GoldenFiles.Assets, "chat");

    [Fact]
    public void Ids_roles_and_masks_of_the_golden_chats_are_the_reference_s()
    {
        using SafetensorsFile golden = SafetensorsFile.Open(GoldenFiles.Path("interventions/interventions.safetensors"));
        TextEncoder encoder = TextEncoder.Load(Model);
        TextItem[] chats = [.. TextRows.ReadSound(GoldenFiles.Path("interventions/chats.jsonl"), new TextColumns(), TextKind.Chats)];
        Assert.Equal(24, chats.Length);
        (int all, int first, int rest) = (0, 0, 0);
        for (int c = 0; c < chats.Length; c++)
        {
            EncodedText text = encoder.Encode(chats[c], context: 256);
            AnswerMasks masks = AnswerMasks.Of(text.Roles);
            Assert.Equal(golden.Integers($"{c}.ids"), text.Ids.Select(i => (long)i));
            Assert.Equal(golden.Integers($"{c}.role"), text.Roles.Select(Reference));
            Assert.Equal(golden.Integers($"{c}.pred"), masks.All.Select(b => b ? 1L : 0));
            Assert.Equal(golden.Integers($"{c}.k_first"), masks.KFirst.Select(b => b ? 1L : 0));
            Assert.Equal(golden.Integers($"{c}.ctrl"), masks.Template.Select(b => b ? 1L : 0));
            all += masks.All.Count(b => b);
            first += masks.KFirst.Count(b => b);
            rest += masks.PostKFirst.Count(b => b);
        }

        Assert.Equal((946, 296, 650), (all, first, rest));

        static long Reference(byte role) => (role & 8) != 0 ? 3 : (role & 4) != 0 ? 2 : (role & 2) != 0 ? 1 : 0;
    }

    [Fact]
    public void A_chat_has_roles_positions_and_turns()
    {
        TextEncoder encoder = TextEncoder.Load(Model);
        EncodedText text = encoder.Chat([new Turn("user", "What"), new Turn("assistant", "They eat")]);
        Assert.Equal(
            ["<bos>", "<start_of_turn>", "us", "er", "\n", "What", "<end_of_turn>", "\n", "<start_of_turn>", "m", "od", "el", "\n", "They", "▁eat", "<end_of_turn>", "\n"],
            text.Ids.Select(encoder.Tokenizer.TokenText));
        Assert.Equal([1, 2, 2, 2, 2, 4, 2, 2, 2, 2, 2, 2, 2, 8, 8, 10, 2], text.Roles);
        Assert.Equal([0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 5, 6, 7, 0, 0, 1, 2], text.BlockPositions);
        Assert.Equal([255, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1], text.Turns);
    }

    [Fact]
    public void A_document_is_plain_after_its_bos()
    {
        EncodedText text = TextEncoder.Load(Model).Document("They eat <bos>", context: 4);
        Assert.Equal([1, 16, 16, 16], text.Roles);
        Assert.Equal([255, 255, 255, 255], text.Turns);
    }

    [Fact]
    public void A_file_gives_a_line_for_each_line_in_order()
    {
        using TemporaryFolder folder = new();
        string file = folder.File("in.jsonl", """
            {"text": ""}
            {"turns": [{"role": "user", "content": "hi"}]}
            {"text": "a 🙂"}
            """), output = Path.Combine(folder.Path, "out.jsonl");
        (int lines, long tokens) = TextEncoder.EncodeFile(Model, file, output);
        string[] written = File.ReadAllLines(output);
        Assert.Equal((3, 3), (lines, written.Length));
        Assert.Equal("{\"ids\": [2], \"offsets\": [[0, 0]], \"roles\": [1]}", written[0]);
        using JsonDocument chat = JsonDocument.Parse(written[1]);
        Assert.Equal([0, 5], chat.RootElement.GetProperty("offsets")[0].EnumerateArray().Select(v => v.GetInt32()));
        Assert.Equal(tokens, written.Sum(l => JsonDocument.Parse(l).RootElement.GetProperty("ids").GetArrayLength()));
    }

    [Fact]
    public void A_template_is_asked_for_only_when_a_line_has_turns()
    {
        using TemporaryFolder folder = new();
        File.Copy(Path.Combine(Model, "tokenizer.json"), Path.Combine(folder.Path, "tokenizer.json"));
        string text = folder.File("t.jsonl", "{\"text\": \"a\"}"), chat = folder.File("c.jsonl", "{\"turns\": [{\"role\": \"user\", \"content\": \"a\"}]}");
        string output = Path.Combine(folder.Path, "out.jsonl");
        Assert.Equal(1, TextEncoder.EncodeFile(folder.Path, text, output).Lines);
        Assert.Contains("no chat template", Assert.Throws<DiffractException>(() => TextEncoder.EncodeFile(folder.Path, chat, output)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_chat_whose_roles_do_not_alternate_is_named_by_its_line()
    {
        using TemporaryFolder folder = new();
        string file = folder.File("c.jsonl", "{\"text\": \"a\"}\n{\"turns\": [{\"role\": \"system\", \"content\": \"a\"}]}");
        DiffractException e = Assert.Throws<DiffractException>(() => TextEncoder.EncodeFile(Model, file, Path.Combine(folder.Path, "out.jsonl")));
        Assert.Contains("line 2 cannot be rendered: its template says \"Conversation roles must alternate", e.Message, StringComparison.Ordinal);
        Assert.False(File.Exists(Path.Combine(folder.Path, "out.jsonl")));
    }

    [Fact]
    public void Plain_chats_begin_with_bos_and_give_a_shared_token_to_what_was_said()
    {
        TextEncoder encoder = TextEncoder.Load(Model, ChatFormat.Plain);
        EncodedText text = encoder.Chat([new Turn("user", "What"), new Turn("assistant", "They eat")]);
        string[] tokens = [.. text.Ids.Select(encoder.Tokenizer.TokenText)];
        Assert.Equal("<bos>User:▁What\nAssistant:▁They▁eat\n", string.Concat(tokens));
        Assert.Equal(1, text.Roles[0]);
        Assert.Equal(["▁What", "▁They", "▁eat"], tokens.Where((_, i) => (text.Roles[i] & 12) != 0));
        Assert.Equal(["▁What"], tokens.Where((_, i) => text.Roles[i] == 4));
        Assert.Equal(tokens.Length - 4, text.Roles.Count(r => r == 2));
        Assert.Equal(tokens.Length - 1, text.Turns.Count(t => t < 2));
    }

    [Fact]
    public void A_custom_format_keeps_every_position()
    {
        Turn[] chat = [new("user", "What"), new("assistant", "They eat")];
        TextEncoder encoder = TextEncoder.Load(Model, ChatFormat.Custom("<end_of_turn>", "<start_of_turn>", "What", "the"));
        EncodedText text = encoder.Chat(chat);
        Assert.Equal(
            ["<bos>", "<end_of_turn>", "What", "\n", "What", "<start_of_turn>", "\n", "<end_of_turn>", "the", "\n", "They", "▁eat", "<start_of_turn>", "\n"],
            text.Ids.Select(encoder.Tokenizer.TokenText));
        Assert.Equal([1, 2, 2, 2, 4, 2, 2, 2, 2, 2, 8, 8, 10, 2], text.Roles);
        Assert.Equal([0, 1, 2, 3, 0, 1, 2, 3, 4, 5, 0, 0, 1, 2], text.BlockPositions);
    }

    [Fact]
    public void A_custom_word_of_several_tokens_is_refused()
    {
        DiffractException e = Assert.Throws<DiffractException>(() => TextEncoder.Load(Model, ChatFormat.Custom(userWord: "What", assistantWord: "model")).Template);
        Assert.Equal("--assistant-word \"model\" is 3 tokens of this tokenizer, wanted a word that is one token, so that every chat keeps its length", e.Message);
    }

    [Fact]
    public void A_custom_word_that_merges_with_its_neighbour_is_found_on_the_sample()
    {
        using TemporaryFolder folder = new();
        string file = folder.File("c.jsonl", "{\"turns\": [{\"role\": \"user\", \"content\": \"e\"}, {\"role\": \"assistant\", \"content\": \"a\"}]}");
        string output = Path.Combine(folder.Path, "out.jsonl");

        // "s" begins a turn and "t" is the user's name: together they are the token "st".
        DiffractException e = Assert.Throws<DiffractException>(() => TextEncoder.EncodeFile(Model, file, output, format: ChatFormat.Custom("s", "<end_of_turn>", "t", "What")));
        Assert.Contains("wanted five a turn", e.Message, StringComparison.Ordinal);
        Assert.Equal(1, TextEncoder.EncodeFile(Model, file, output, format: ChatFormat.Custom("<start_of_turn>", "<end_of_turn>", "the", "What")).Lines);
    }

    [Fact]
    public void Words_are_for_the_custom_format_alone()
    {
        Assert.Contains("--chat-format custom", Assert.Throws<DiffractException>(() => ChatFormat.Of("plain", null, "<", null, null, null)).Message, StringComparison.Ordinal);
        Assert.Equal("x", ChatFormat.Of("custom", null, null, null, "x", null).Words["user_word"]);
    }

    [Fact]
    public void A_system_turn_has_its_role()
    {
        using TemporaryFolder folder = new();
        File.Copy(Path.Combine(Model, "tokenizer.json"), Path.Combine(folder.Path, "tokenizer.json"));
        folder.File("chat_template.jinja", "{{ bos_token }}{% for m in messages %}{{ '<start_of_turn>' + m.role + '\n' + m.content + '<end_of_turn>\n' }}{% endfor %}");
        TextEncoder encoder = TextEncoder.Load(folder.Path);
        EncodedText text = encoder.Chat([new Turn("system", "What"), new Turn("user", "They eat"), new Turn("assistant", "the")]);
        Assert.Equal(["What"], text.Ids.Where((_, i) => text.Roles[i] == 32).Select(encoder.Tokenizer.TokenText));
        Assert.Equal(2, text.Turns.Max(t => t == 255 ? 0 : t));
        Assert.Equal(1, text.Roles[0]);
    }
}
