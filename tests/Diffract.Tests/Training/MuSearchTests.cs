using System.Text.Json.Nodes;
using Diffract.Activations;
using Diffract.Compute.Kernels;
using Diffract.Crosscoders;
using Diffract.Formats;
using Diffract.Kernels.Tests;
using Diffract.Runs;
using Diffract.Training;

namespace Diffract.Tests.Training;

public sealed class MuSearchTests : IDisposable
{
    const int Steps = 300;
    readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData(4, 1e-4)]
    [InlineData(4, 3)]
    [InlineData(12, 0.05)]
    public void A_mu_is_found_from_far_below_and_far_above(double target, double begin)
    {
        using IBackend backend = BackendsUnderTest.Create("vector-1");
        using StoredBatches source = new(Activations(), 32, null);
        TrainingConfig config = Config(begin);
        ListProgress progress = new();
        MuSearch found = Search(config, target, source, backend, progress);
        (double mu, double l0) = found.Trials.Single(t => t.Mu == found.Mu);
        Assert.InRange(l0, 0.85 * target, 1.15 * target);
        Assert.Equal(found.Trials.Count + 1, progress.Lines.Count);
        Assert.Contains("trial 1 of 100 steps, mu", progress.Lines[0], StringComparison.Ordinal);
        Assert.Contains("chosen", progress.Lines[^1], StringComparison.Ordinal);
        Assert.Empty(progress.Warnings);
        // The same again: nothing is left to chance.
        Assert.Equal(found.Trials, Search(config, target, source, backend, new ListProgress()).Trials);
        Assert.True(found.Trials.Where(t => t.Mu < mu).All(t => t.L0 >= l0) && found.Trials.Where(t => t.Mu > mu).All(t => t.L0 <= l0), "L0 does not fall with mu here");
    }

    [Fact]
    public void The_program_trains_with_what_it_found_and_says_so()
    {
        string output = Path.Combine(_folder.Path, "out");
        (int code, string said, string error) = Cli.CommandLine.Run(
            _folder.Path, "train", "--activations", Activations(), "--batch", "32", "--kind", "l1", "--latents", "64", "--init-norm", "0.5", "--lr", "0.01", "--warmup", "10", "--target-l0", "6",
            "--search-steps", "120", "--out", output);
        Assert.True(code == 0, error);
        string mu = said.Split("train: mu ")[1].Split(' ')[0];
        Assert.Contains($"train: L1, mu {mu[..3]}", said, StringComparison.Ordinal);
        double l0 = File.ReadAllLines(Path.Combine(output, "log.jsonl")).TakeLast(20).Average(l => (double)JsonNode.Parse(l)!["l0"]!);
        Assert.InRange(l0, 3, 12);
    }

    [Theory]
    [InlineData(0, 100, "--target-l0 0 does not fit")]
    [InlineData(64, 100, "--target-l0 64 does not fit; wanted above 0 and below the 64 latents")]
    [InlineData(double.NaN, 100, "--target-l0 NaN does not fit")]
    [InlineData(4, 301, "--search-steps 301 does not fit")]
    public void What_cannot_be_searched_is_refused(double target, long steps, string message)
    {
        using IBackend backend = BackendsUnderTest.Create("vector-1");
        using StoredBatches source = new(Activations(), 32, null);
        DiffractException e = Assert.Throws<DiffractException>(
            () => MuSearch.Run("train", Config(0.1), target, steps, source, () => throw new InvalidOperationException(), new SilentProgress(), CancellationToken.None));
        Assert.Contains(message, e.Message, StringComparison.Ordinal);
        Assert.Equal(DiffractException.BadArguments, e.ExitCode);
    }

    static TrainingConfig Config(double mu) => new()
    {
        Crosscoder = new CrosscoderConfig(CrosscoderKind.L1, 64, [12, 12]),
        Steps = Steps,
        Batch = 32,
        LearningRate = 0.01,
        Warmup = 10,
        Mu = mu,
    };

    static MuSearch Search(TrainingConfig config, double target, IBatchSource source, IBackend backend, ListProgress progress)
    {
        Crosscoder First()
        {
            Crosscoder crosscoder = new(config.Crosscoder, backend);
            new CrosscoderInit(1, true, true, 0.5).Apply(crosscoder);
            return crosscoder;
        }

        return MuSearch.Run("train", config, target, 100, source, First, progress, CancellationToken.None);
    }

    string Activations()
    {
        float[] values = new float[Steps * 32 * 24];
        for (int row = 0; row < Steps * 32; row++)
        {
            for (int direction = 0; direction < 24; direction++)
            {
                // A quarter of the directions are on in a token, each with a strength of its own.
                double on = Draws.Uniform(9, (ulong)row, (ulong)direction);
                for (int e = 0; e < 24 && on < 0.25; e++)
                {
                    values[row * 24 + e] += (float)(4 * on * (2 * Draws.Uniform(8, (ulong)direction, (ulong)e) - 1));
                }
            }
        }

        string path = Path.Combine(_folder.Path, "x.safetensors");
        SafetensorsWriter writer = new();
        writer.Add("x", values, Steps * 32, 2, 12);
        writer.Save(path);
        return path;
    }
}
