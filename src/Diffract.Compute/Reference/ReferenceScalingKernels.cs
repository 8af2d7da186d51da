using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;

namespace Diffract.Compute.Reference;

/// <summary>The sums behind beta, one pair after the other.</summary>
public sealed class ReferenceScalingKernels : IScalingKernels
{
    public unsafe void Accumulate(SparseCode code, Matrix acts_BE, Matrix recon_BE, Matrix directions_LD, ReadOnlySpan<int> modelOffsets, HostBuffer sums)
    {
        ScalingShapes.Check(code, acts_BE, recon_BE, directions_LD, modelOffsets, sums);
        int models = modelOffsets.Length - 1;
        int* start = code.LatentStart.Ints, token = code.PairToken.Ints;
        float* value = code.PairValue.Floats;
        for (int j = 0; j < code.Latents; j++)
        {
            double* sum = sums.Doubles + (long)j * ScalingShapes.Columns(models);
            ReadOnlySpan<float> v_D = directions_LD.Row(j);
            for (int pair = start[j]; pair < start[j + 1]; pair++)
            {
                double f = value[pair];
                sum[0] += 1;
                sum[1] += f;
                sum[2] += f * f;
                for (int m = 0; m < models; m++)
                {
                    sum[3 + m] += f * Dot(acts_BE.Row(token[pair])[modelOffsets[m]..], v_D);
                    sum[3 + models + m] += f * Dot(recon_BE.Row(token[pair])[modelOffsets[m]..], v_D);
                }
            }
        }
    }

    static double Dot(ReadOnlySpan<float> y_D, ReadOnlySpan<float> v_D)
    {
        double sum = 0;
        for (int d = 0; d < v_D.Length; d++)
        {
            sum += (double)y_D[d] * v_D[d];
        }

        return sum;
    }
}
