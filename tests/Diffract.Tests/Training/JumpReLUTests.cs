using Diffract.Activations;
using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Crosscoders;
using Diffract.Kernels.Tests;
using Diffract.Runs;
using Diffract.Training;

namespace Diffract.Tests.Training;

/// <summary>JumpReLU trained on activations of a known dictionary: its thresholds move, and the weight of the penalty decides how many latents fire. Its gradients are held in the kernels' tests.</summary>
public sealed class JumpReLUTests : IDisposable
{
    const int Width = 16;
    const int Batch = 128;

    readonly string _folder = Directory.CreateTempSubdirectory("diffract").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void Thresholds_move_and_the_weight_of_the_penalty_decides_L0()
    {
        (float start, float[] gentle, double manyActive, double explained) = Train(0.01);
        (_, float[] strict, double fewActive, _) = Train(0.3);

        // All begin at one value. Every latent's threshold moved, most of them by a tenth of it or more, and by latent: they spread.
        Assert.All(gentle, t => Assert.NotEqual(start, t));
        Assert.True(gentle.Count(t => Math.Abs(t - start) > 0.1 * start) > gentle.Length / 2, $"from {start} to {string.Join(", ", gentle)}");
        Assert.True(gentle.Max() > 1.5 * gentle.Min());
        Assert.True(explained > 0.7, $"variance explained {explained}");
        Assert.True(strict.Average() > gentle.Average() + 0.1 * start, $"{gentle.Average()} and {strict.Average()}");
        Assert.True(fewActive < 0.6 * manyActive, $"{manyActive} latents a token, {fewActive} with thirty times the weight");
    }

    [Fact]
    public void The_folder_holds_the_thresholds_and_encodes_with_them()
    {
        using IBackend backend = BackendsUnderTest.Create("avx2-1");
        using Crosscoder crosscoder = new(new CrosscoderConfig(CrosscoderKind.JumpReLU, 6, [3, 3]) { K = 2 }, backend);
        CrosscoderInit.Paper(CrosscoderKind.JumpReLU, 1).Apply(crosscoder);
        new float[] { 0, 0.5f, 1, 0.25f, 2, 1e9f }.CopyTo(crosscoder.Threshold_L!.Value.Row(0));
        CrosscoderFolder.Save(_folder, crosscoder);
        using Crosscoder loaded = CrosscoderFolder.Load(_folder, backend);
        Assert.Equal(CrosscoderKind.JumpReLU, loaded.Config.Kind);
        Assert.False(loaded.ThresholdUnset);
        Assert.Equal(crosscoder.Threshold_L!.Value.Row(0), loaded.Threshold_L!.Value.Row(0));

        Matrix acts_BE = Matrix.Host(40, 6), dense_BL = Matrix.Host(40, 6);
        Planted.Fill(acts_BE, 0, 3);
        backend.Crosscoder.EncodeDense(acts_BE, loaded.WEnc_LE, loaded.BEnc_L, dense_BL);
        using SparseCode code = loaded.NewCode(40);
        loaded.Encode(acts_BE, code);
        int active = 0, positive = 0;
        for (int b = 0; b < 40; b++)
        {
            for (int j = 0; j < 6; j++)
            {
                positive += dense_BL.Row(b)[j] > 0 ? 1 : 0;
                active += dense_BL.Row(b)[j] * loaded.Scale_L.Row(0)[j] > loaded.Threshold_L!.Value.Row(0)[j] ? 1 : 0;
            }
        }

        Assert.InRange(active, 1, positive - 1);
        Assert.Equal(active, code.Pairs);
    }

    [Theory]
    [InlineData(-1f, "latent 2 is -1")]
    [InlineData(float.NaN, "latent 2 is NaN")]
    public void Thresholds_that_are_none_are_refused(float threshold, string said)
    {
        using IBackend backend = BackendsUnderTest.Create("avx2-1");
        using Crosscoder crosscoder = new(new CrosscoderConfig(CrosscoderKind.JumpReLU, 6, [3, 3]) { K = 2 }, backend);
        crosscoder.Threshold_L!.Value.Row(0)[2] = threshold;
        CrosscoderFolder.Save(_folder, crosscoder);
        Assert.Contains(said, Assert.Throws<DiffractException>(() => CrosscoderFolder.Load(_folder, backend)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Settings_that_do_not_fit_are_refused()
    {
        CrosscoderConfig crosscoder = new(CrosscoderKind.JumpReLU, 8, [3, 3]) { K = 2 };
        TrainingConfig config = new() { Crosscoder = crosscoder, Steps = 2 };
        config.Check();
        Assert.Contains("--bandwidth 0", Message(config with { Bandwidth = 0 }), StringComparison.Ordinal);
        Assert.Contains("--bend NaN", Message(config with { Bend = double.NaN }), StringComparison.Ordinal);
        Assert.Contains("k = 9", Message(config with { Crosscoder = crosscoder with { K = 9 } }), StringComparison.Ordinal);
        Assert.Contains("--code-norm", Message(config with { Crosscoder = crosscoder with { CodeNorm = CodeNormKind.Decoupled } }), StringComparison.Ordinal);
    }

    static string Message(TrainingConfig config)
    {
        DiffractException e = Assert.Throws<DiffractException>(config.Check);
        Assert.Equal(2, e.ExitCode);
        return e.Message;
    }

    /// <summary>400 steps; the first threshold, those at the end, latents a token over the last 50 steps, and the variance explained on tokens that were not trained on.</summary>
    (float Start, float[] Thresholds, double L0, double Explained) Train(double mu)
    {
        using IBackend backend = BackendsUnderTest.Create("avx2-3");
        TrainingConfig config = new()
        {
            Crosscoder = new CrosscoderConfig(CrosscoderKind.JumpReLU, 48, [Width, Width]) { K = 3 },
            Steps = 400,
            Batch = Batch,
            LearningRate = 0.005,
            Warmup = 20,
            DeadAfter = 5000,
            Mu = mu,
            Clip = 1,
        };
        using Crosscoder crosscoder = new(config.Crosscoder, backend);
        new CrosscoderInit(5, Norm: Preset.Demo.InitNorm(CrosscoderKind.JumpReLU)).Apply(crosscoder);
        using TrainingState state = new(config, crosscoder);
        using TrainingStep step = new(config, crosscoder, state);
        Matrix acts_BE = Matrix.Host(Batch, 2 * Width);
        double active = 0;
        float start = 0;
        for (int t = 0; t < 400; t++)
        {
            Planted.Fill(acts_BE, t, Width);
            if (t == 0)
            {
                step.Begin(acts_BE);
                start = crosscoder.Threshold_L!.Value.Row(0)[0];
                Assert.All(crosscoder.Threshold_L!.Value.Row(0).ToArray(), threshold => Assert.Equal(start, threshold));
            }

            StepRecord record = step.Run(acts_BE);
            active += t >= 350 ? record.L0 / 50 : 0;
        }

        ValidationResult result = new Validation(new Planted(), 1024, batch: 512).Run(crosscoder, TestContext.Current.CancellationToken);
        return (start, crosscoder.Threshold_L!.Value.Row(0).ToArray(), active, result.FvePooled);
    }

    /// <summary>24 latents, each on in an eighth of the tokens at magnitudes from ½ to 1½; a third of them in each model alone, a third in both; a little noise.</summary>
    sealed class Planted : IBatchSource
    {
        const int True = 24;

        public int[] ModelOffsets => [0, Width, 2 * Width];

        public long DistinctTokens => 1024;

        public static void Fill(Matrix acts_BE, long index, int width)
        {
            for (int b = 0; b < acts_BE.Rows; b++)
            {
                ulong token = (ulong)((index * acts_BE.Rows) + b);
                Span<float> acts_E = acts_BE.Row(b);
                for (int e = 0; e < acts_E.Length; e++)
                {
                    acts_E[e] = (float)(0.1 * (Draws.Uniform(3, token, (ulong)e, 9) - 0.5));
                }

                for (int j = 0; j < True; j++)
                {
                    if (Draws.Uniform(1, token, (ulong)j) < 0.125)
                    {
                        double magnitude = 0.5 + Draws.Uniform(2, token, (ulong)j);
                        for (int e = j % 3 == 1 ? width : 0; e < (j % 3 == 2 ? width : 2 * width); e++)
                        {
                            acts_E[e] += (float)(magnitude * Math.Sqrt(12.0 / width) * (Draws.Uniform(4, (ulong)j, (ulong)(e % width)) - 0.5));
                        }
                    }
                }
            }
        }

        public void Fill(long index, Matrix acts_BE) => Fill(acts_BE, 1_000_000 + index, Width);
    }
}
