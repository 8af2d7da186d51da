using Diffract.Compute.Kernels;
using Diffract.Formats;
using Diffract.Llms;
using Diffract.Runs;

namespace Diffract.Tests.Llms;

public sealed class ForwardFileTests
{
    [Fact]
    public void A_line_gives_its_tensors_an_empty_one_too()
    {
        using TemporaryFolder folder = new();
        using SafetensorsFile golden = SafetensorsFile.Open(GoldenFiles.Path("models/gemma2/golden.safetensors"));
        string ids = string.Join(", ", golden.Integers("tokens").Take(48));
        string result = Run(folder, $"{{\"ids\": [{ids}]}}\n{{\"ids\": []}}\n{{\"id\": 1, \"ids\": [3, 4]}}\n", request => request with { Blocks = [3, 0], Logits = true, Greedy = 4 });
        using SafetensorsFile file = SafetensorsFile.Open(result);
        Assert.Equal(["0.block_0", "0.block_3", "0.logits", "0.greedy", "1.block_0", "1.block_3", "1.logits", "1.greedy", "2.block_0", "2.block_3", "2.logits", "2.greedy"], file.Tensors.Keys);
        Close.Max(golden.Floats("block_3").AsSpan(0, 48 * 64), file.Floats("0.block_3", 48, 64), 1e-4, "block 3");
        Close.Max(golden.Floats("logits").AsSpan(0, 48 * 320), file.Floats("0.logits", 48, 320), 1e-4, "logits");
        Assert.Equal([0L, 64], file["1.block_0"].Shape);
        Assert.Equal([0L, 320], file["1.logits"].Shape);
        Assert.Equal([4L], file["1.greedy"].Shape);
        Assert.Equal(("I64", 4L), (file["2.greedy"].Type, file["2.greedy"].Elements));
    }

    [Fact]
    public void Greedy_ids_are_those_of_transformers()
    {
        using TemporaryFolder folder = new();
        using SafetensorsFile golden = SafetensorsFile.Open(GoldenFiles.Path("models/gemma2/golden.safetensors"));
        string prompt = string.Join(", ", golden.Integers("tokens").Take(8));
        using SafetensorsFile file = SafetensorsFile.Open(Run(folder, $"{{\"ids\": [{prompt}]}}", request => request with { Greedy = 24 }));
        Assert.Equal(["0.greedy"], file.Tensors.Keys);
        Assert.Equal(golden.Integers("greedy"), file.Integers("0.greedy", 24));
    }

    [Fact]
    public void Without_wishes_every_block_is_written()
    {
        using TemporaryFolder folder = new();
        using SafetensorsFile file = SafetensorsFile.Open(Run(folder, "{\"ids\": [5]}", request => request));
        Assert.Equal(["0.block_0", "0.block_1", "0.block_2", "0.block_3"], file.Tensors.Keys);
    }

    [Theory]
    [InlineData("{\"ids\": [1]}\n{\"ids\": [1, 320]}", "line 2: id 1 is 320, wanted an integer from 0 to 319")]
    [InlineData("{\"ids\": [1.5]}", "line 1: id 0 is 1.5")]
    [InlineData("{\"ids\": \"x\"}", "line 1 has no list of ids")]
    [InlineData("[1, 2]", "line 1 has no list of ids")]
    [InlineData("{\"ids\": [1", "line 1 is not JSON")]
    [InlineData("{\"ids\": [1]}\n\n", "line 2 is not JSON")]
    public void A_malformed_line_is_named(string lines, string message)
    {
        using TemporaryFolder folder = new();
        DiffractException e = Assert.Throws<DiffractException>(() => Run(folder, lines, request => request));
        Assert.Contains(message, e.Message, StringComparison.Ordinal);
        Assert.DoesNotContain("\n", e.Message, StringComparison.Ordinal);
        Assert.False(File.Exists(Path.Combine(folder.Path, "out.safetensors")));
    }

    [Fact]
    public void A_block_out_of_range_is_a_bad_argument()
    {
        using TemporaryFolder folder = new();
        DiffractException e = Assert.Throws<DiffractException>(() => Run(folder, "{\"ids\": [5]}", request => request with { Blocks = [1, 4] }));
        Assert.Contains("--blocks 4 is out of range", e.Message, StringComparison.Ordinal);
        Assert.Equal(DiffractException.BadArguments, e.ExitCode);
    }

    static string Run(TemporaryFolder folder, string lines, Func<ForwardRequest, ForwardRequest> with)
    {
        using IBackend backend = LlmBackends.Create("vector");
        string output = Path.Combine(folder.Path, "out.safetensors");
        ForwardRequest request = new() { Model = GoldenFiles.Path("models/gemma2"), Ids = folder.File("ids.jsonl", lines), Out = output };
        ForwardFile.Run(backend, with(request), new SilentProgress(), TestContext.Current.CancellationToken);
        return output;
    }
}
