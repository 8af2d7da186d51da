using Diffract.Formats;

namespace Diffract.Tests.Cli;

public sealed class ForwardCommandTests : IDisposable
{
    readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Blocks_may_come_with_spaces_and_in_any_order()
    {
        string ids = _folder.File("ids.jsonl", "{\"ids\": [2, 7]}\n"), output = Path.Combine(_folder.Path, "out.safetensors");
        (int code, _, string error) = CommandLine.Run(
            _folder.Path, "forward", "--model", GoldenFiles.Path("models/gemma2"), "--ids", ids, "--out", output, "--blocks", "3, 0", "--greedy", "2");
        Assert.True(code == 0, error);
        using SafetensorsFile file = SafetensorsFile.Open(output);
        Assert.Equal(["0.block_0", "0.block_3", "0.greedy"], file.Tensors.Keys.Order(StringComparer.Ordinal));
    }
}
