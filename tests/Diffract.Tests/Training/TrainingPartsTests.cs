using Diffract.Activations;
using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Compute.Reference;
using Diffract.Crosscoders;
using Diffract.Kernels.Tests;
using Diffract.Runs;
using Diffract.Training;

namespace Diffract.Tests.Training;

/// <summary>The parts of training, by values worked out by hand.</summary>
public sealed class TrainingPartsTests
{
    [Fact]
    public void The_learning_rate_rises_stays_and_falls()
    {
        TrainingConfig config = Config() with { Steps = 20, Warmup = 4, DecayStart = 10, LearningRate = 8 };
        Assert.Equal([0, 2, 4, 6, 8, 8], Enumerable.Range(0, 6).Select(t => LearningRate.At(config, t)));
        Assert.Equal([8, 8, 7.2, 0.8], ((long[])[9, 10, 11, 19]).Select(t => LearningRate.At(config, t)));
    }

    [Fact]
    public void The_threshold_starts_at_the_smallest_and_then_follows()
    {
        float first = SelectionThreshold.Next(-1, 4, 0.75);
        Assert.Equal(4, first);
        Assert.Equal(5, SelectionThreshold.Next(first, 8, 0.75));
        Assert.Equal(3, SelectionThreshold.Next(first, 0, 0.75));
    }

    [Fact]
    public void The_geometric_median_of_a_line_is_its_middle_even_when_a_row_lies_on_it()
    {
        Matrix acts_BE = Rows([0, 0, 7], [1, 2, 7], [2, 4, 7], [30, 60, 7], [-50, -100, 7]);
        Matrix median_E = Matrix.Host(1, 3);
        GeometricMedian.Write(acts_BE, [0, 2, 3], median_E);
        Assert.Equal(1, median_E.Row(0)[0], 1e-2);
        Assert.Equal(2, median_E.Row(0)[1], 1e-2);
        Assert.Equal(7, median_E.Row(0)[2]);
    }

    [Fact]
    public void Counters_count_tokens_and_dead_latents_are_listed_in_order()
    {
        FiringTracker tracker = new(3, deadAfter: 20);
        Matrix sum_L = Rows([0, 1, 0]);
        tracker.Observe(10, sum_L);
        Assert.Equal(0, tracker.Dead.Length);
        tracker.Observe(10, sum_L);
        Assert.Equal([0, 2], tracker.Dead.ToArray());
        Assert.Equal([20, 0, 20], tracker.TokensSinceFired);
    }

    [Fact]
    public void Gamma_is_the_length_of_the_mean_over_that_of_the_spread_by_model()
    {
        // Model 0: mean (3, 4), spread (1, 0). Model 1: mean 0, spread 2.
        RowSource source = new([0, 2, 3], [[2, 4, 2], [4, 4, -2]]);
        Assert.Equal([5, 0], ActivationShape.Of(source, Matrix.Host(2, 3)).Gamma_M);
    }

    [Fact]
    public void Normalisation_is_estimated_from_the_first_tokens_asked_for_and_at_most_one_pass()
    {
        RowSource source = new([0, 1], [[1], [3], [5], [7], [100]]);
        ActivationNorm first = NormEstimate.Of(source, 4, Matrix.Host(2, 1), 1, stop: default), all = NormEstimate.Of(source, long.MaxValue, Matrix.Host(1, 1), 1, stop: default);
        Assert.Equal((4f, (float)Math.Sqrt(20 / 3.0)), (first.Mean_E[0], first.Std_E[0]));
        Assert.Equal(116 / 5f, all.Mean_E[0]);
    }

    [Fact]
    public void First_weights_have_the_asked_length_and_begin_shared()
    {
        using Crosscoder crosscoder = new(new CrosscoderConfig(CrosscoderKind.BatchTopK, 6, [5, 5]) { K = 2 }, new ReferenceBackend());
        CrosscoderInit.Paper(CrosscoderKind.BatchTopK, 3).Apply(crosscoder);
        for (int j = 0; j < 6; j++)
        {
            Assert.Equal(0.5, crosscoder.RelativeDecoderNorm(j));
            Assert.Equal(1, crosscoder.Norms_LM.Row(j)[0], 1e-6);
            Assert.Equal(2, crosscoder.Scale_L.Row(0)[j], 1e-6);
            Assert.Equal(crosscoder.WEnc_LE.Row(j)[..5], crosscoder.WDec_LE.Row(j)[5..]);
        }

        float[] before = crosscoder.WEnc_LE.Row(2).ToArray();
        CrosscoderInit.Paper(CrosscoderKind.BatchTopK, 4).Apply(crosscoder);
        Assert.NotEqual(before, crosscoder.WEnc_LE.Row(2).ToArray());
    }

    [Theory]
    [InlineData(true, true, 96.0, 96.0)]
    [InlineData(true, false, 96.0, 20.0)]
    [InlineData(false, false, 20.0 * 96, 20.0 * 96)]
    public void Draws_fill_the_range_of_the_fan_in(bool same, bool transpose, double encoderFan, double decoderFan)
    {
        using Crosscoder crosscoder = new(new CrosscoderConfig(CrosscoderKind.L1, 96, [20, 20]), new ReferenceBackend());
        new CrosscoderInit(1, same, transpose).Apply(crosscoder);
        Assert.Equal(Math.Sqrt(6 / encoderFan), Largest(crosscoder.WEnc_LE), Math.Sqrt(6 / encoderFan) * 0.01);
        Assert.Equal(Math.Sqrt(6 / decoderFan), Largest(crosscoder.WDec_LE), Math.Sqrt(6 / decoderFan) * 0.01);
    }

    [Fact]
    public void Validation_has_no_effect_on_what_it_measures_and_counts_by_hand()
    {
        ReferenceBackend backend = new();
        using Crosscoder crosscoder = new(new CrosscoderConfig(CrosscoderKind.L1, 2, [1, 1]), backend);

        // Latent 0 copies model 0 (base-only), latent 1 copies half of model 1 (chat-only).
        crosscoder.WEnc_LE.Row(0)[0] = 1;
        crosscoder.WDec_LE.Row(0)[0] = 1;
        crosscoder.WEnc_LE.Row(1)[1] = 1;
        crosscoder.WDec_LE.Row(1)[1] = 0.5f;
        crosscoder.RefreshNorms();
        RowSource source = new([0, 1, 2], [[1, 2], [3, 0], [5, 4], [7, 2]]);
        ValidationResult result = new Validation(source, 100, batch: 2).Run(crosscoder, TestContext.Current.CancellationToken);
        Assert.Equal(4, result.Tokens);
        Assert.Equal([1, 0.75], result.FveByModel);

        // Σ(x - mean)²: model 0 20, model 1 8; error only in model 1, a quarter of it.
        Assert.Equal(1 - 2.0 / 28, result.FvePooled, 1e-12);
        Assert.Equal(((1 - 0.5 / 4) + (1 - 0.5 / 4)) / 2, result.FveMeanOfBatches, 1e-12);
        Assert.Equal(7 / 4.0, result.L0);
        Assert.Equal(0, result.DeadShare);
        Assert.Equal((1 + 0 + 2 + 1) / 8.0, result.L2);
        Assert.Equal((1 + 0 + 4 + 1) / 8.0, result.Mse);
        Assert.Equal((16 + 4) / 4.0, result.Sparsity);
        Assert.Equal([1, 1], result.SpecificLatents);
    }

    [Fact]
    public void The_small_preset_always_ends_with_a_threshold()
    {
        foreach (long tokens in (long[])[2_000, 50_000, 800_000, 5_000_000])
        {
            TrainingConfig config = Preset.Demo.Configure(CrosscoderKind.BatchTopK, [128, 128], tokens, new TrainOptions { Batch = 256 });
            Assert.True(config.ThresholdFrom + 50 < config.Steps);
            Assert.True(config.DeadAfter < config.Steps * config.Batch);
            Assert.True(config.Crosscoder.K <= config.Crosscoder.Latents);
        }
    }

    [Fact]
    public void The_papers_preset_refuses_a_short_run_and_says_what_it_takes()
    {
        DiffractException e = Assert.Throws<DiffractException>(() => Preset.Paper.Configure(CrosscoderKind.L1, [64, 64], 500_000, new TrainOptions()));
        Assert.Contains("10,000,384 training tokens", e.Message, StringComparison.Ordinal);
        Assert.Contains("500,000", e.Message, StringComparison.Ordinal);
        TrainingConfig paper = Preset.Paper.Configure(CrosscoderKind.BatchTopK, [2304, 2304], 100_000_000, new TrainOptions());
        Assert.Equal((97656, 73728, 100, 1e-4, 10_000_000, 1000, 1.0), (paper.Steps, paper.Crosscoder.Latents, paper.Crosscoder.K, paper.LearningRate, paper.DeadAfter, paper.Warmup, paper.Clip));
    }

    [Fact]
    public void A_source_of_other_models_is_refused()
    {
        using Crosscoder crosscoder = new(Config().Crosscoder, new ReferenceBackend());
        Assert.Equal(2, Assert.Throws<DiffractException>(() => new Trainer(Config(), crosscoder, new RowSource([0, 3], [[1, 2, 3]]))).ExitCode);
    }

    [Theory]
    [InlineData(CrosscoderKind.BatchTopK, 1.0)]
    [InlineData(CrosscoderKind.L1, 1.0)]
    [InlineData(CrosscoderKind.L1, -1.0)]
    [InlineData(CrosscoderKind.JumpReLU, 1.0)]
    public void A_warm_step_allocates_nothing(CrosscoderKind kind, double denseAbove)
    {
        using IBackend backend = BackendsUnderTest.Create("avx2-3");
        TrainingConfig config = Config() with
        {
            Crosscoder = new CrosscoderConfig(kind, 64, [8, 8]) { K = 4 },
            Batch = 32,
            DenseAbove = denseAbove,
            DeadAfter = 64,
            KAux = 2,
            Clip = TrainingConfig.DefaultClip(kind),
        };
        using Crosscoder crosscoder = new(config.Crosscoder, backend);
        CrosscoderInit.Paper(CrosscoderKind.BatchTopK, 1).Apply(crosscoder);
        using TrainingState state = new(config, crosscoder);
        using TrainingStep step = new(config, crosscoder, state);
        Matrix acts_BE = Matrix.Host(32, 16);
        for (int i = 0; i < 32; i++)
        {
            foreach (ref float value in acts_BE.Row(i))
            {
                value = (float)Draws.Uniform(1, (ulong)i, 0) - 0.5f;
            }
        }

        step.Begin(acts_BE);
        for (int i = 0; i < 5; i++)
        {
            step.Run(acts_BE);
        }

        Assert.True(kind == CrosscoderKind.L1 || state.Firing.Dead.Length > 0);
        Assert.Equal(0, Allocations.Least(() => step.Run(acts_BE)));
    }

    [Fact]
    public void Options_of_the_other_kind_are_named()
    {
        TrainOptions options = new() { K = 3, Mu = 0.1, AuxAlpha = 1 };
        Assert.Equal(["--k", "--aux-alpha"], options.WithoutEffect(CrosscoderKind.L1));
        Assert.Equal(["--mu"], options.WithoutEffect(CrosscoderKind.BatchTopK));
        Assert.Empty(options.WithoutEffect(CrosscoderKind.JumpReLU));
        Assert.Equal(["--threshold-from"], new TrainOptions { ThresholdFrom = 1, Bandwidth = 1 }.WithoutEffect(CrosscoderKind.JumpReLU));
        Assert.Equal(["--bandwidth", "--bend"], new TrainOptions { Bandwidth = 1, Bend = 1 }.WithoutEffect(CrosscoderKind.L1));
        Assert.Empty(new TrainOptions().WithoutEffect(CrosscoderKind.L1));
    }

    static TrainingConfig Config() => new() { Crosscoder = new CrosscoderConfig(CrosscoderKind.L1, 4, [2, 2]), Steps = 100, Batch = 1, Warmup = 1 };

    static double Largest(Matrix matrix) => Enumerable.Range(0, matrix.Rows).Max(r => matrix.Row(r).ToArray().Max(v => Math.Abs((double)v)));

    static Matrix Rows(params float[][] rows)
    {
        Matrix matrix = Matrix.Host(rows.Length, rows[0].Length);
        for (int r = 0; r < rows.Length; r++)
        {
            rows[r].CopyTo(matrix.Row(r));
        }

        return matrix;
    }

    sealed class RowSource(int[] offsets, float[][] rows) : IBatchSource
    {
        public int[] ModelOffsets => offsets;

        public long DistinctTokens => rows.Length;

        public void Fill(long index, Matrix acts_BE)
        {
            for (int b = 0; b < acts_BE.Rows; b++)
            {
                rows[(index * acts_BE.Rows + b) % rows.Length].CopyTo(acts_BE.Row(b));
            }
        }
    }
}
