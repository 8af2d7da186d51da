using Diffract.Compute.Buffers;
using Diffract.Latents;

namespace Diffract.Scaling;

/// <summary>What the closed form of beta needs of the weights, in double: by latent ‖v‖², ⟨d_m, v⟩ and ⟨b_m, v⟩.</summary>
public sealed class LatentProducts
{
    readonly double[] _decoder_LM;
    readonly double[] _bias_LM;
    readonly int _models;

    /// <param name="wDec_LE">[L, E].</param>
    /// <param name="bDec_E">[1, E].</param>
    /// <param name="modelOffsets">[M + 1].</param>
    public LatentProducts(Matrix wDec_LE, Matrix bDec_E, ReadOnlySpan<int> modelOffsets)
    {
        _models = modelOffsets.Length - 1;
        _decoder_LM = new double[wDec_LE.Rows * _models];
        _bias_LM = new double[wDec_LE.Rows * _models];
        Matrix directions_LD = BetaSums.Directions(wDec_LE, modelOffsets);
        for (int j = 0; j < wDec_LE.Rows; j++)
        {
            ReadOnlySpan<float> v_D = directions_LD.Row(j);
            for (int m = 0; m < _models; m++)
            {
                _decoder_LM[j * _models + m] = LatentVectors.Dot(wDec_LE.Row(j)[modelOffsets[m]..modelOffsets[m + 1]], v_D);
                _bias_LM[j * _models + m] = LatentVectors.Dot(bDec_E.Row(0)[modelOffsets[m]..modelOffsets[m + 1]], v_D);
            }
        }
    }

    /// <summary>‖v‖²: v is the last model's decoder row.</summary>
    public double DirectionSquared(int latent) => _decoder_LM[latent * _models + _models - 1];

    /// <summary>⟨d_m, v⟩.</summary>
    public double OnDecoder(int latent, int model) => _decoder_LM[latent * _models + model];

    /// <summary>⟨b_m, v⟩.</summary>
    public double OnBias(int latent, int model) => _bias_LM[latent * _models + model];
}
