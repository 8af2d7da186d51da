using Diffract.Compute.Buffers;
using Diffract.Cpu;
using Diffract.Crosscoders;
using Diffract.Training;

namespace Diffract.Tests.Training;

/// <summary>Whole training steps, in the forms that a training takes, on one, two and four threads.</summary>
public sealed class ThreadsTests
{
    [Theory]
    [InlineData(CrosscoderKind.BatchTopK, 1.0)]
    [InlineData(CrosscoderKind.L1, 1.0)]
    [InlineData(CrosscoderKind.L1, -1.0)]
    public void Trainings_have_the_same_bits_on_any_number_of_threads(CrosscoderKind kind, double denseAbove)
    {
        (float[] one, StepRecord first) = Train(kind, denseAbove, 1);
        Assert.Contains(one, w => w != 0);
        foreach (int threads in new[] { 2, 4 })
        {
            (float[] many, StepRecord last) = Train(kind, denseAbove, threads);
            Assert.Equal(BitConverter.DoubleToInt64Bits(first.Loss), BitConverter.DoubleToInt64Bits(last.Loss));
            Assert.Equal(BitConverter.DoubleToInt64Bits(first.GradNorm), BitConverter.DoubleToInt64Bits(last.GradNorm));
            Assert.True(one.Select(BitConverter.SingleToInt32Bits).SequenceEqual(many.Select(BitConverter.SingleToInt32Bits)));
        }
    }

    /// <summary>Weights and moments after some steps on tokens of which one direction is always on: its latents are hot.</summary>
    static (float[] Weights, StepRecord Last) Train(CrosscoderKind kind, double denseAbove, int threads)
    {
        const int Batch = 300, Latents = 130, Width = 70;
        using CpuBackend backend = new(CpuPaths.Best, threads);
        TrainingConfig config = new()
        {
            Crosscoder = new CrosscoderConfig(kind, Latents, [Width, Width]) { K = 6 },
            Steps = 100,
            Batch = Batch,
            Warmup = 2,
            Mu = 0.02,
            DenseAbove = denseAbove,
            DeadAfter = 2 * Batch,
            KAux = 3,
            Clip = kind == CrosscoderKind.BatchTopK || denseAbove < 0 ? 0.3 : null,
        };
        using Crosscoder crosscoder = new(config.Crosscoder, backend);
        CrosscoderInit.Paper(CrosscoderKind.BatchTopK, 1).Apply(crosscoder);
        using TrainingState state = new(config, crosscoder);
        using TrainingStep step = new(config, crosscoder, state);
        Matrix acts_BE = Matrix.Host(Batch, 2 * Width);
        StepRecord last = default;
        for (int t = 0; t < 6; t++)
        {
            for (int b = 0; b < Batch; b++)
            {
                Span<float> row = acts_BE.Row(b);
                for (int c = 0; c < row.Length; c++)
                {
                    row[c] = (c % 7 == 0 ? 1 : 0) + (float)Draws.Uniform(1, (ulong)(b * row.Length + c), (ulong)t) - 0.5f;
                }
            }

            last = step.Run(acts_BE);
        }

        acts_BE.Buffer.Dispose();
        Assert.True(kind == CrosscoderKind.L1 || last.Dead > 0, "the auxiliary loss had nothing to do");
        return ([.. All(crosscoder.WEnc_LE), .. All(crosscoder.WDec_LE), .. All(crosscoder.BEnc_L), .. All(crosscoder.BDec_E), .. All(state.DecM_LE), .. All(state.EncV_LE)], last);
    }

    static IEnumerable<float> All(Matrix matrix) => Enumerable.Range(0, matrix.Rows).SelectMany(r => matrix.Row(r).ToArray());
}
