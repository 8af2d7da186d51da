using System.IO.Compression;
using Diffract.Runs;
using Diffract.Text;

namespace Diffract.Tests.Text;

public sealed class TextRowsTests
{
    [Fact]
    public void Documents_and_chats_are_read_with_their_labels()
    {
        using TemporaryFolder folder = new();
        string file = folder.File("a.jsonl", """
            {"id": 7, "text": "", "label": "x"}
            {"turns": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}], "label": ["x/y", "z"], "kind": "other"}
            """);
        TextItem[] items = [.. Read(file)];
        Assert.Equal(("7", "", 1), (items[0].Id, items[0].Text, items[0].Line));
        Assert.Equal(["x"], items[0].Labels);
        Assert.Equal("a.jsonl:2", items[1].Id);
        Assert.Equal([new Turn("user", "q"), new Turn("assistant", "a")], items[1].Turns!);
        Assert.Equal(["x/y", "z"], items[1].Labels);
    }

    [Fact]
    public void Null_is_absent_and_a_label_may_be_a_number()
    {
        using TemporaryFolder folder = new();
        string file = folder.File("columns.jsonl", """
            {"text": "a", "turns": null, "label": 3}
            {"text": null, "turns": [{"role": "user", "content": "q"}], "label": null}
            """);
        TextItem[] items = [.. Read(file)];
        Assert.Equal("a", items[0].Text);
        Assert.Null(items[0].Turns);
        Assert.Equal(["3"], items[0].Labels);
        Assert.Single(items[1].Turns!);
        Assert.Empty(items[1].Labels);
    }

    [Fact]
    public void A_packed_file_is_told_by_its_bytes()
    {
        using TemporaryFolder folder = new();
        string file = Path.Combine(folder.Path, "packed.jsonl");
        using (GZipStream zip = new(File.Create(file), CompressionMode.Compress))
        {
            zip.Write("{\"text\": \"é\"}"u8);
        }

        Assert.Equal("é", Read(file).Single().Text);
    }

    [Theory]
    [InlineData("", "is empty")]
    [InlineData("  ", "is empty")]
    [InlineData("{\"text\": ", "is not JSON")]
    [InlineData("3", "is a JSON number")]
    [InlineData("{\"id\": \"x\"}", "neither text nor turns")]
    [InlineData("{\"text\": 3}", "text that is no string")]
    [InlineData("{\"text\": \"a\", \"turns\": []}", "both text and turns")]
    [InlineData("{\"turns\": [{\"role\": \"user\"}]}", "malformed turn 0")]
    [InlineData("{\"text\": \"a\", \"label\": {}}", "label")]
    [InlineData("{\"text\": \"a\", \"label\": [null]}", "label")]
    [InlineData("{\"text\": null}", "neither text nor turns")]
    [InlineData("{\"text\": \"\\ud800\"}", "is not JSON")]
    public void A_bad_line_is_named_by_file_and_number(string line, string message)
    {
        using TemporaryFolder folder = new();
        string file = folder.File("bad.jsonl", "{\"text\": \"fine\"}\n" + line + "\n{\"text\": \"fine\"}\n");
        DiffractException e = Assert.Throws<DiffractException>(() => Read(file).Count());
        Assert.Contains("bad.jsonl line 2", e.Message, StringComparison.Ordinal);
        Assert.Contains(message, e.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', e.Message);
    }

    [Fact]
    public void Bytes_that_are_no_utf8_and_a_missing_file_are_named()
    {
        using TemporaryFolder folder = new();
        string file = Path.Combine(folder.Path, "latin.jsonl");
        File.WriteAllBytes(file, [.. "{\"text\": \""u8, 0xE9, .. "\"}"u8]);
        Assert.Contains("line 1 is not UTF-8", Assert.Throws<DiffractException>(() => Read(file).Count()).Message, StringComparison.Ordinal);
        Assert.Equal(DiffractException.BadArguments, Assert.Throws<DiffractException>(() => Read(file + "x")).ExitCode);
    }

    /// <summary>The field's chat shapes, each with the turns that it stands for.</summary>
    [Theory]
    [InlineData("""{"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}""")]
    [InlineData("""{"conversation": [{"content": "q", "role": "user"}, {"content": "a", "role": "assistant"}]}""")]
    [InlineData("""{"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]}""")]
    [InlineData("""{"turns": ["q", "a"], "text": "rendered already"}""")]
    [InlineData("""{"prompt": "q", "response": "a"}""")]
    [InlineData("""{"prompt": [{"role": "user", "content": "q"}], "response": [{"role": "assistant", "content": "a"}]}""")]
    [InlineData("""{"messages": "[{\"role\": \"user\", \"content\": \"q\"}, {\"role\": \"assistant\", \"content\": \"a\"}]"}""")]
    [InlineData("""{"messages": [{"role": "user", "content": [{"type": "text", "text": "q"}]}, {"role": "assistant", "content": "a"}], "prompt": "q"}""")]
    public void Chats_are_known_by_their_shape(string line)
    {
        using TemporaryFolder folder = new();
        TextItem item = TextRows.Read(folder.File("a.jsonl", line), new TextColumns(), TextKind.Chats).Single();
        Assert.Null(item.Fault);
        Assert.Equal([new Turn("user", "q"), new Turn("assistant", "a")], item.Turns!);
    }

    [Fact]
    public void A_system_text_beside_is_the_first_turn_and_other_columns_are_read_by_name()
    {
        using TemporaryFolder folder = new();
        Assert.Equal(
            [new Turn("system", "s"), new Turn("user", "q"), new Turn("assistant", "a")],
            TextRows.Read(folder.File("a.csv", "system,prompt,response\ns,q,a\n"), new TextColumns(), TextKind.Chats).Single().Turns!);
        Assert.Equal([new Turn("user", "q")], TextRows.Read(folder.File("b.jsonl", """{"data": ["q"], "turns": 3}"""), new TextColumns { Chats = "data" }, TextKind.Chats).Single().Turns!);
        Assert.Equal("x", TextRows.Read(folder.File("c.jsonl", """{"content": "x", "text": 3}"""), new TextColumns { Text = "content" }, TextKind.Documents).Single().Text);
    }

    [Theory]
    [InlineData("""{"messages": null}""", "has no turns")]
    [InlineData("""{"messages": [{"role": "user", "content": null}]}""", "malformed turn 0 without content")]
    [InlineData("""{"messages": [{"role": "user", "content": [{"type": "image"}]}]}""", "content is not text")]
    [InlineData("""{"messages": [["user", "q"]]}""", "malformed turn 0")]
    [InlineData("""{"messages": "hello"}""", "not a list")]
    public void A_chat_that_cannot_be_used_says_why(string line, string fault)
    {
        using TemporaryFolder folder = new();
        Assert.Contains(fault, TextRows.Read(folder.File("a.jsonl", line), new TextColumns(), TextKind.Chats).Single().Fault, StringComparison.Ordinal);
    }

    [Fact]
    public void A_table_without_the_column_is_refused_with_those_that_it_has()
    {
        DiffractException text = Assert.Throws<DiffractException>(() => TextRows.Read(GoldenFiles.Path("data/ultrachat.parquet"), new TextColumns { Text = "body" }, TextKind.Documents).Count());
        Assert.Contains("no column body; it has prompt, prompt_id, messages: name one with --text-column", text.Message, StringComparison.Ordinal);
        DiffractException chats = Assert.Throws<DiffractException>(() => TextRows.Read(GoldenFiles.Path("data/plain.parquet"), new TextColumns { Chats = "talk" }, TextKind.Chats).Count());
        Assert.Contains("no column talk; it has text: name one with --chats-column", chats.Message, StringComparison.Ordinal);
        Assert.Contains("give documents with --text", Assert.Throws<DiffractException>(() => TextRows.Read(GoldenFiles.Path("data/plain.parquet"), new TextColumns(), TextKind.Chats).Count()).Message, StringComparison.Ordinal);
        Assert.Contains("give chats with --chats", Assert.Throws<DiffractException>(() => TextRows.Read(GoldenFiles.Path("data/lmsys.parquet"), new TextColumns(), TextKind.Documents).Count()).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Ids_and_faults_of_a_data_set_are_those_of_its_rows()
    {
        TextItem[] items = [.. TextRows.Read(GoldenFiles.Path("data/lmsys.parquet"), new TextColumns(), TextKind.Chats)];
        Assert.Equal(40, items.Length);
        Assert.Equal("00000000000000000000000000000000", items[0].Id);
        Assert.Equal("has no turns", items[11].Fault);
        Assert.Empty(items[12].Turns!);
        Assert.Contains("turn 0 without content", items[14].Fault, StringComparison.Ordinal);
        Assert.Equal(2, items.Count(i => i.Fault is not null));
        Assert.EndsWith("lmsys.parquet row 15", items[14].Place, StringComparison.Ordinal);
    }

    static IEnumerable<TextItem> Read(string file) => TextRows.ReadSound(file, new TextColumns(), TextKind.Either);
}
