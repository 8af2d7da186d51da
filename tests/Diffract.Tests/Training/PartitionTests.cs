using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Crosscoders;
using Diffract.Kernels.Tests;
using Diffract.Latents;
using Diffract.Runs;
using Diffract.Training;

namespace Diffract.Tests.Training;

/// <summary>Crosscoders with a designated partition: base-only latents first, then chat-only, then shared ones.</summary>
public sealed class PartitionTests : IDisposable
{
    readonly string _folder = Directory.CreateTempSubdirectory("diffract").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Theory]
    [InlineData(CrosscoderKind.BatchTopK, CodeNormKind.Crosscoder, 1.0)]
    [InlineData(CrosscoderKind.BatchTopK, CodeNormKind.Decoupled, 1.0)]
    [InlineData(CrosscoderKind.L1, CodeNormKind.Crosscoder, 1.0)]
    [InlineData(CrosscoderKind.L1, CodeNormKind.Sae, -1.0)]
    [InlineData(CrosscoderKind.JumpReLU, CodeNormKind.Mixed, 1.0)]
    public void Designated_latents_stay_with_their_model(CrosscoderKind kind, CodeNormKind codeNorm, double denseAbove)
    {
        using IBackend backend = BackendsUnderTest.Create("avx2-3");
        TrainingConfig config = new()
        {
            Crosscoder = new CrosscoderConfig(kind, 24, [6, 6]) { K = 4, BaseOnly = 3, ChatOnly = 5, CodeNorm = codeNorm },
            Steps = 40,
            Batch = 32,
            DeadAfter = 64,
            Warmup = 1,
            LearningRate = 0.01,
            Mu = 0.01,
            ResampleEvery = kind == CrosscoderKind.L1 ? 4 : null,
            DenseAbove = denseAbove,
            Clip = TrainingConfig.DefaultClip(kind),
        };
        config.Check();
        using Crosscoder crosscoder = new(config.Crosscoder, backend);
        new CrosscoderInit(1, Norm: 1).Apply(crosscoder);
        float[] first = crosscoder.WDec_LE.Row(4).ToArray();
        using TrainingState state = new(config, crosscoder);
        using TrainingStep step = new(config, crosscoder, state);
        Matrix acts_BE = Matrix.Host(32, 12);
        for (int t = 0; t < 40; t++)
        {
            for (int b = 0; b < 32; b++)
            {
                for (int e = 0; e < 12; e++)
                {
                    acts_BE.Row(b)[e] = (float)Draws.Uniform(1, (ulong)t, (ulong)b, (ulong)e) - 0.5f;
                }
            }

            if (t == 0)
            {
                step.Begin(acts_BE);
            }

            step.Run(acts_BE);
        }

        Assert.NotEqual(first, crosscoder.WDec_LE.Row(4).ToArray());
        AssertDesignated(crosscoder);
        CrosscoderFolder.Save(_folder, crosscoder);
        using Crosscoder loaded = CrosscoderFolder.Load(_folder, backend);
        Assert.Equal((3, 5), (loaded.Config.BaseOnly, loaded.Config.ChatOnly));
        Assert.Equal(kind, loaded.Config.Kind);
        AssertDesignated(loaded);
    }

    [Fact]
    public void Shares_and_numbers_name_the_same_partition()
    {
        CrosscoderConfig shares = new TrainOptions { BaseOnly = 0.05, ChatOnly = 0.1 }.Dictionary(CrosscoderKind.BatchTopK, 200, [4, 4], 8);
        Assert.Equal((10, 20), (shares.BaseOnly, shares.ChatOnly));
        CrosscoderConfig numbers = new TrainOptions { ChatOnly = 7 }.Dictionary(CrosscoderKind.L1, 200, [4, 4], 8);
        Assert.Equal((0, 7), (numbers.BaseOnly, numbers.ChatOnly));
        Assert.Equal([1, 1, null], new int?[] { numbers.DesignatedModel(0), numbers.DesignatedModel(6), numbers.DesignatedModel(7) });
        Assert.Null(new TrainOptions().Dictionary(CrosscoderKind.L1, 200, [4, 4], 8).NewMasks());
    }

    [Theory]
    [InlineData(1.5, null, "--base-only 1.5")]
    [InlineData(null, -1.0, "--chat-only -1")]
    [InlineData(null, double.NaN, "--chat-only NaN")]
    [InlineData(12.0, 9.0, "12 base-only and 9 chat-only")]
    public void A_partition_that_does_not_fit_is_refused(double? baseOnly, double? chatOnly, string said)
    {
        DiffractException e = Assert.Throws<DiffractException>(
            () => new TrainOptions { BaseOnly = baseOnly, ChatOnly = chatOnly }.Dictionary(CrosscoderKind.BatchTopK, 20, [4, 4], 8).Check());
        Assert.Equal(2, e.ExitCode);
        Assert.Contains(said, e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_partition_takes_two_models()
        => Assert.Contains(
            "3 models",
            Assert.Throws<DiffractException>(new CrosscoderConfig(CrosscoderKind.L1, 20, [4, 4, 4]) { ChatOnly = 1 }.Check).Message,
            StringComparison.Ordinal);

    [Fact]
    public void The_latent_table_says_what_was_decided()
    {
        RoleRates none = new(0, 0, 0, 0, 0);
        LatentRow[] rows =
        [
            new(0, 0, 1, 1, double.NaN, 0, 1, 1, double.NaN, LatentClass.ChatOnly, 12, 0.1, none, 1, 1, 0.5, false) { ByConstruction = true },
            new(1, 1, 1, 0.5, 1, 1, 1, 0.5, 1, LatentClass.Shared, 12, 0.1, none, 1, 1, 0.5, false),
        ];
        string path = Path.Combine(_folder, LatentTable.FileName);
        LatentTable.Write(path, rows);
        Assert.EndsWith(",by_construction", File.ReadLines(path).First(), StringComparison.Ordinal);
        Assert.Equal(rows, LatentTable.Read(path));
        LatentTable.Write(path, rows[1..] is [{ } shared] ? [shared with { Latent = 0 }] : []);
        Assert.DoesNotContain("by_construction", File.ReadAllText(path), StringComparison.Ordinal);

        // A shared latent is of no single model, whatever its norms are.
        Assert.Equal(LatentClass.Other, LatentClasses.Of(0.95, null));
        Assert.Equal(LatentClass.Shared, LatentClasses.Of(0.5, null));
        Assert.Equal(LatentClass.BaseOnly, LatentClasses.Of(double.NaN, 0));
    }

    static void AssertDesignated(Crosscoder crosscoder)
    {
        for (int j = 0; j < crosscoder.Latents; j++)
        {
            for (int m = 0; m < 2; m++)
            {
                bool away = crosscoder.Config.DesignatedModel(j) is { } model && model != m;
                Assert.Equal(away, crosscoder.WEnc_LE.Row(j)[crosscoder.ModelOffsets[m]..crosscoder.ModelOffsets[m + 1]].IndexOfAnyExcept(0f) < 0);
                Assert.Equal(away, crosscoder.Norms_LM.Row(j)[m] == 0);
            }
        }

        Assert.Equal(0, crosscoder.RelativeDecoderNorm(0));
        Assert.Equal(1, crosscoder.RelativeDecoderNorm(3));
    }
}
