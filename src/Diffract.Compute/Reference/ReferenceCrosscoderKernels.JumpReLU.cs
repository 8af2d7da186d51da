using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;

namespace Diffract.Compute.Reference;

/// <summary>The gate of JumpReLU with its straight-through gradient.</summary>
public sealed partial class ReferenceCrosscoderKernels
{
    public void JumpGate(SparseCode code, Matrix scale_L, Matrix threshold_L)
    {
        Span<int> start = code.LatentStart.Span<int>();
        Span<float> input = code.PairInput.Span<float>();
        Span<float> value = code.PairValue.Span<float>();
        for (int j = 0; j < code.Latents; j++)
        {
            for (int i = start[j]; i < start[j + 1]; i++)
            {
                input[i] = value[i];
                value[i] = value[i] * scale_L.Row(0)[j] > threshold_L.Row(0)[j] ? value[i] : 0;
            }
        }
    }

    public JumpSums JumpGradient(SparseCode code, Matrix scale_L, Matrix threshold_L, in JumpShape jump, Matrix gThreshold_L, Matrix gScale_L)
    {
        (double bandwidth, double saturation, double lambda) = (jump.Bandwidth, jump.Saturation, jump.Penalty);
        Span<int> start = code.LatentStart.Span<int>();
        Span<float> gradient = code.PairGradient.Span<float>();
        long active = 0;
        Span<double> sums = stackalloc double[Shards(code.Latents, code.ShardSize)];
        sums.Clear();
        for (int j = 0; j < code.Latents; j++)
        {
            double s = scale_L.Row(0)[j];
            double threshold = threshold_L.Row(0)[j];
            double gThreshold = 0;
            double gScale = 0;
            for (int i = start[j]; i < start[j + 1]; i++)
            {
                double p = code.PairInput.Span<float>()[i];
                double g = gradient[i];
                double q = p * s;
                double penalty = saturation * Math.Tanh(q / saturation);
                double slope = 1 - penalty / saturation * (penalty / saturation);
                double gate = code.PairValue.Span<float>()[i] > 0 ? 1 : 0;
                double kernel = Math.Abs(q - threshold) < bandwidth / 2 ? 1 / bandwidth : 0;
                double carried = g * p + lambda * penalty;
                gradient[i] = (float)((g + lambda * s * slope) * gate + s * kernel * carried);
                gThreshold -= kernel * carried;
                gScale += lambda * p * slope * gate + p * kernel * carried;
                active += (long)gate;
                sums[j / code.ShardSize] += gate * penalty;
            }

            gThreshold_L.Row(0)[j] = (float)gThreshold;
            gScale_L.Row(0)[j] = (float)gScale;
        }

        return new JumpSums(active, VirtualShards.Add(sums));
    }
}
