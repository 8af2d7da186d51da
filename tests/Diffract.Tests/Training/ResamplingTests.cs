using Diffract.Compute.Buffers;
using Diffract.Compute.Reference;
using Diffract.Crosscoders;
using Diffract.Training;

namespace Diffract.Tests.Training;

/// <summary>Resampling of dead latents by hand (spec 3.4): who is dead, where they begin, what is forgotten; and the counters through both forms of a step.</summary>
public sealed class ResamplingTests
{
    readonly ReferenceBackend _backend = new();

    [Fact]
    public void Dead_latents_begin_at_rows_that_are_badly_reconstructed()
    {
        // Latent 0 lives and reads (3, 0 | 0, 4); latents 1 and 2 are silent. Row 0 is reconstructed exactly, row 1 not at all: both draws fall on what is left.
        TrainingConfig config = Config(3);
        using Crosscoder crosscoder = new(config.Crosscoder, _backend);
        ((float[])[0.6f, 0, 0, 0.8f]).CopyTo(crosscoder.WEnc_LE.Row(0));
        ((float[])[0.6f, 0, 0, 0.8f]).CopyTo(crosscoder.WDec_LE.Row(0));
        ((float[])[9, 9, 9, 9]).CopyTo(crosscoder.WEnc_LE.Row(1));
        crosscoder.BEnc_L.Row(0)[1] = -500;
        crosscoder.BEnc_L.Row(0)[2] = -3;
        crosscoder.RefreshNorms();
        using TrainingState state = new(config, crosscoder);
        foreach (Matrix moment in (Matrix[])[state.EncM_LE, state.EncV_LE, state.DecM_LE, state.DecV_LE])
        {
            for (int j = 0; j < 3; j++)
            {
                moment.Row(j).Fill(0.5f);
            }
        }

        state.BiasM_L.Row(0).Fill(0.5f);
        state.BiasV_L.Row(0).Fill(0.5f);
        Matrix acts_BE = Acts([3, 0, 0, 4], [0, -5, 12, 0]);
        using Resampling resampling = new(crosscoder, state, 4, seed: 1);
        ((long[])[0, 3, 2]).CopyTo(state.SilentSteps!, 0);

        state.Step = 3;
        resampling.Run(acts_BE);
        Assert.Equal(9, crosscoder.WEnc_LE.Row(1)[0]);

        // Half of the interval is 2: latent 1 is dead, latent 2 not yet.
        state.Step = 4;
        resampling.Run(acts_BE);
        // Lengths of the live encoder vectors: (0.6 + 0)/2 and (0.8 + 0)/2; times 0.05.
        Close.Max([0, -5 * 0.3f * 0.05f, 12 * 0.4f * 0.05f, 0], crosscoder.WEnc_LE.Row(1).ToArray(), 1e-6, "encoder");
        Close.Max([0, -1, 1, 0], crosscoder.WDec_LE.Row(1).ToArray(), 1e-6, "decoder");
        Assert.Equal(0, crosscoder.BEnc_L.Row(0)[1]);
        Assert.Equal(-3, crosscoder.BEnc_L.Row(0)[2]);
        Assert.Equal(2, crosscoder.Scale_L.Row(0)[1], 6);
        foreach (Matrix moment in (Matrix[])[state.EncM_LE, state.EncV_LE, state.DecM_LE, state.DecV_LE])
        {
            Assert.Equal([0.5f, 0.5f, 0.5f, 0.5f], moment.Row(0).ToArray());
            Assert.Equal([0f, 0, 0, 0], moment.Row(1).ToArray());
            Assert.Equal([0.5f, 0.5f, 0.5f, 0.5f], moment.Row(2).ToArray());
        }

        Assert.Equal([0.5f, 0, 0.5f], state.BiasM_L.Row(0).ToArray());
        Assert.Equal([0.5f, 0, 0.5f], state.BiasV_L.Row(0).ToArray());
    }

    [Fact]
    public void No_row_is_drawn_twice_and_rows_without_error_never()
    {
        TrainingConfig config = Config(6);
        using Crosscoder crosscoder = new(config.Crosscoder, _backend);
        using TrainingState state = new(config, crosscoder);
        // Nothing is reconstructed; rows 1 and 3 are 0 and so without error. Six dead latents, three rows to begin at.
        Matrix acts_BE = Acts([1, 0, 2, 0], [0, 0, 0, 0], [0, 2, 0, 1], [0, 0, 0, 0], [5, 5, 5, 5]);
        using Resampling resampling = new(crosscoder, state, 2, seed: 7);
        Array.Fill(state.SilentSteps!, 5);
        state.Step = 2;
        resampling.Run(acts_BE);
        string[] began = [.. Enumerable.Range(0, 6).Where(j => crosscoder.Scale_L.Row(0)[j] > 0).Select(j => string.Join(",", crosscoder.WDec_LE.Row(j).ToArray().Select(x => Math.Round(x, 3))))];
        Assert.Equal(3, began.Length);
        Assert.Equal(3, began.Distinct().Count());
    }

    [Fact]
    public void Rows_are_drawn_in_the_proportion_of_their_weights()
    {
        TrainingConfig config = Config(1);
        using Crosscoder crosscoder = new(config.Crosscoder, _backend);
        using TrainingState state = new(config, crosscoder);
        // Mean lengths 1 and 2: weights 1 and 4.
        Matrix acts_BE = Acts([1, 0, 1, 0], [0, 2, 0, 2]);
        using Resampling resampling = new(crosscoder, state, 1, seed: 3);
        int second = 0;
        for (int step = 1; step <= 2000; step++)
        {
            crosscoder.WDec_LE.Row(0).Clear();
            crosscoder.WEnc_LE.Row(0).Clear();
            crosscoder.RefreshNorms();
            state.SilentSteps![0] = 9;
            state.Step = step;
            resampling.Run(acts_BE);
            second += crosscoder.WDec_LE.Row(0)[1] > 0 ? 1 : 0;
        }

        // 0.8 of 2000, within four standard errors.
        Assert.InRange(second, 1600 - 72, 1600 + 72);
    }

    [Theory]
    [InlineData(-1)]
    [InlineData(1)]
    public void Silence_is_counted_in_scaled_units_and_the_rate_rises_anew(double denseAbove)
    {
        TrainingConfig config = Config(2) with { Batch = 2, DenseAbove = denseAbove, Warmup = 3, LearningRate = 1, ResampleEvery = 5 };
        using Crosscoder crosscoder = new(config.Crosscoder, _backend);
        // Latent 0: f = 1, s = 1e-5: below 1e-4 however large f looks. Latent 1: s = 2.
        ((float[])[1, 0, 0, 0]).CopyTo(crosscoder.WEnc_LE.Row(0));
        crosscoder.WDec_LE.Row(0)[0] = 1e-5f;
        ((float[])[1, 0, 0, 0]).CopyTo(crosscoder.WEnc_LE.Row(1));
        crosscoder.WDec_LE.Row(1)[0] = 2;
        crosscoder.RefreshNorms();
        using TrainingState state = new(config, crosscoder);
        state.Density = 0.5;
        using TrainingStep step = new(config, crosscoder, state);
        step.Run(Acts([1, 0, 0, 0], [-1, 0, 0, 0]));
        Assert.Equal([1L, 0], state.SilentSteps!);
        Assert.Equal([0, 1.0 / 3, 2.0 / 3, 1, 1, 0, 1.0 / 3], Enumerable.Range(0, 7).Select(t => LearningRate.At(config, t)));
    }

    static TrainingConfig Config(int latents) => new() { Crosscoder = new CrosscoderConfig(CrosscoderKind.L1, latents, [2, 2]), Steps = 10, Batch = 5, ResampleEvery = 4 };

    static Matrix Acts(params float[][] rows)
    {
        Matrix acts_BE = Matrix.Host(rows.Length, rows[0].Length);
        for (int b = 0; b < rows.Length; b++)
        {
            rows[b].CopyTo(acts_BE.Row(b));
        }

        return acts_BE;
    }
}
