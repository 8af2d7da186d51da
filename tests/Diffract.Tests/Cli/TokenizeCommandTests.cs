namespace Diffract.Tests.Cli;

public sealed class TokenizeCommandTests : IDisposable
{
    static readonly string Chat = Path.Combine(GoldenFiles.Assets, "chat");
    readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void A_loose_file_gives_ids_offsets_and_roles()
    {
        string text = _folder.File("in.jsonl", "{\"text\": \"\"}\n"), output = Path.Combine(_folder.Path, "out.jsonl");
        (int code, _, string error) = CommandLine.Run(_folder.Path, "tokenize", "--model", Chat, "--text", text, "--out", output);
        Assert.Equal((0, ""), (code, error));
        Assert.Equal("{\"ids\": [2], \"offsets\": [[0, 0]], \"roles\": [1]}\n", File.ReadAllText(output));
    }

    [Theory]
    [InlineData("tokenize", "--model", "somewhere")]
    [InlineData("tokenize", "run")]
    [InlineData("tokenize", "run", "--no-such-option")]
    [InlineData("harvest", "no-such-run")]
    public void Bad_arguments_are_one_line_and_exit_code_two(params string[] arguments)
    {
        (int code, string output, string error) = CommandLine.Run(_folder.Path, arguments);
        Assert.Equal((2, ""), (code, output));
        Assert.StartsWith("diffract: ", error, StringComparison.Ordinal);
        Assert.Single(error.TrimEnd().Split('\n'));
    }
}
