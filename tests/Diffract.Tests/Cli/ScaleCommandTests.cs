using Diffract.Formats;
using Diffract.Tests.Scaling;

namespace Diffract.Tests.Cli;

public sealed class ScaleCommandTests : IDisposable
{
    readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Loose_files_give_eight_targets_of_five_tensors()
    {
        GoldenDictionary.Unpack("batchtopk", _folder.Path);
        string output = Path.Combine(_folder.Path, "y.safetensors");
        (int code, _, _) = CommandLine.Run(
            _folder.Path, "scale", "--crosscoder", _folder.Path, "--activations", GoldenFiles.Path("scaling/activations.safetensors"), "--out", output);
        Assert.Equal(0, code);
        using SafetensorsFile got = SafetensorsFile.Open(output);
        using SafetensorsFile golden = SafetensorsFile.Open(GoldenFiles.Path("scaling/batchtopk.safetensors"));
        Assert.Equal(40, got.Tensors.Count);
        Assert.Equal(golden.Doubles("base_error.count_active"), got.Doubles("base_error.count_active"));
    }

    [Theory]
    [InlineData(2, "scale")]
    [InlineData(2, "scale", "--crosscoder", "somewhere")]
    [InlineData(2, "scale", "run", "--crosscoder", "a", "--activations", "b", "--out", "c")]
    [InlineData(2, "scale", "no-such-run")]
    [InlineData(2, "scale", "--no-such-option")]
    [InlineData(2, "scale", ".", "--blocks", "1")]
    [InlineData(2, "latents")]
    [InlineData(2, "latents", "no-such-run")]
    [InlineData(1, "latents", ".")]
    [InlineData(1, "scale", ".", "--name", "nobody")]
    public void Bad_calls_are_one_line_with_their_exit_code(int wanted, params string[] arguments)
    {
        (int code, string output, string error) = CommandLine.Run(_folder.Path, arguments);
        Assert.Equal((wanted, ""), (code, output));
        Assert.StartsWith("diffract: ", error, StringComparison.Ordinal);
        Assert.Single(error.TrimEnd().Split('\n'));
    }
}
