using System.IO.Compression;
using Diffract.Runs;
using Diffract.Text;

namespace Diffract.Tests.Text;

public sealed class JsonLinesTests
{
    [Fact]
    public void Documents_and_chats_are_read_with_their_labels()
    {
        using TemporaryFolder folder = new();
        string file = folder.File("a.jsonl", """
            {"id": 7, "text": "", "label": "x"}
            {"turns": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}], "label": ["x/y", "z"], "kind": "other"}
            """);
        TextItem[] items = [.. JsonLines.Read(file)];
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
        TextItem[] items = [.. JsonLines.Read(file)];
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

        Assert.Equal("é", JsonLines.Read(file).Single().Text);
    }

    [Theory]
    [InlineData("", "is empty")]
    [InlineData("  ", "is empty")]
    [InlineData("{\"text\": ", "is not JSON")]
    [InlineData("[1]", "is a JSON array")]
    [InlineData("{\"id\": \"x\"}", "neither text nor turns")]
    [InlineData("{\"text\": 3}", "wanted a string")]
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
        DiffractException e = Assert.Throws<DiffractException>(() => JsonLines.Read(file).Count());
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
        Assert.Contains("line 1 is not UTF-8", Assert.Throws<DiffractException>(() => JsonLines.Read(file).Count()).Message, StringComparison.Ordinal);
        Assert.Equal(DiffractException.BadArguments, Assert.Throws<DiffractException>(() => JsonLines.Read(file + "x")).ExitCode);
    }
}
