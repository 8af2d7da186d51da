namespace Diffract.Tests.Cli;

public sealed class RenderCommandTests : IDisposable
{
    readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Each_line_gives_text_and_spans_or_the_error()
    {
        _folder.File("tokenizer_config.json", """{"bos_token": {"content": "<s>"}, "eos_token": "</s>", "chat_template": "{{ bos_token }}{% for m in messages %}{% generation %}{{ m.content + eos_token }}{% endgeneration %}{% endfor %}{{ extra }}{{ tools is defined }}{{ add_generation_prompt }}"}""");
        string chats = _folder.File("in.jsonl", """
            {"messages": [{"role": "user", "content": "é🙂"}], "extra": [1, null]}
            {"turns": [{"role": "user", "content": {"a": 1.0}}]}
            {"turns": [], "add_generation_prompt": false}

            """);
        string output = Path.Combine(_folder.Path, "out.jsonl");
        (int code, _, string error) = CommandLine.Run(_folder.Path, "render", "--model", _folder.Path, "--chats", chats, "--out", output, "--add-generation-prompt");
        Assert.Equal((0, ""), (code, error));
        Assert.Equal(
            """
            {"text": "<s>é\uD83D\uDE42</s>[1, None]FalseTrue", "generation": [[3, 9]]}
            {"error": "TypeError: unsupported operand type(s) for +: 'dict' and 'str'"}
            {"text": "<s>FalseFalse", "generation": []}

            """.ReplaceLineEndings("\n"),
            File.ReadAllText(output));
    }

    [Theory]
    [InlineData("{\"messages\": 3}")]
    [InlineData("{\"messages\": [")]
    [InlineData("3")]
    [InlineData("{\"messages\": [\"\\ud800\"]}")]
    public void A_line_that_is_no_chat_is_named(string line)
    {
        _folder.File("chat_template.jinja", "x");
        (int code, _, string error) = CommandLine.Run(_folder.Path, "render", "--model", _folder.Path, "--chats", _folder.File("in.jsonl", line + "\n"), "--out", Path.Combine(_folder.Path, "out.jsonl"));
        Assert.Equal(1, code);
        Assert.Contains("in.jsonl line 1 ", error, StringComparison.Ordinal);
        Assert.Single(error.TrimEnd().Split('\n'));
    }
}
