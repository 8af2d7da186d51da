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
        TextItem[] chats = [.. JsonLines.Read(GoldenFiles.Path("interventions/chats.jsonl"))];
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
        Assert.Contains("line 2 has a system turn", e.Message, StringComparison.Ordinal);
        Assert.False(File.Exists(Path.Combine(folder.Path, "out.jsonl")));
    }
}
