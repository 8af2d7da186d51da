using Diffract.Compute.Kernels;
using Diffract.Crosscoders;
using Diffract.Formats;
using Diffract.Kernels.Tests;
using Diffract.Runs;
using Diffract.Training;

namespace Diffract.Tests.Training;

public sealed class SizesTests : IDisposable
{
    readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    /// <summary>Numbers that do not fit into the program's own, and files without a row: one line, before any work.</summary>
    [Theory]
    [InlineData("--steps 9223372036854775807 needs 147573952589676412912 tokens", 4, long.MaxValue, null, null)]
    [InlineData("lower --latents or --batch", 4, null, 2_000_000_000, null)]
    [InlineData("holds 64 tokens, fewer than one batch of 2147483647", 64, null, null, int.MaxValue)]
    [InlineData("has the shape [0, 2, 6]", 0, null, null, 4)]
    public void Sizes_that_overflow_and_empty_files_are_refused(string message, int rows, long? steps, int? latents, int? batch)
    {
        using IBackend backend = BackendsUnderTest.Create("reference");
        string output = Path.Combine(_folder.Path, "none"), path = Path.Combine(_folder.Path, "sizes.safetensors");
        SafetensorsWriter writer = new();
        writer.Add("x", new float[(batch is null ? 16 * rows : rows) * 12], batch is null ? [rows, 16, 2, 6] : [rows, 2, 6]);
        writer.Save(path);
        TrainOptions options = new() { Kind = CrosscoderKind.BatchTopK, K = 2, Warmup = 2, ThresholdFrom = 2, Steps = steps, Latents = latents ?? 8, Batch = batch };
        DiffractException e = Assert.Throws<DiffractException>(() => LooseTraining.Run(new LooseTrainSettings(path, output, options), backend, new SilentProgress(), CancellationToken.None));
        Assert.Contains(message, e.Message, StringComparison.Ordinal);
        Assert.False(Directory.Exists(output));
    }
}
