using Diffract.Compute.Buffers;

namespace Diffract.Scaling;

/// <summary>What the closed form of beta needs of the weights, in double: by latent ‖v‖², ⟨d_m, v⟩ and ⟨b_m, v⟩.</summary>
public sealed class LatentProducts
{
    readonly double[] _decoder_LM;
    readonly double[] _bias_LM;
    readonly double[] _squared_L;

    /// <summary>Along the decoder rows of the last model.</summary>
    /// <param name="wDec_LE">[L, E].</param>
    /// <param name="bDec_E">[1, E].</param>
    /// <param name="modelOffsets">[M + 1].</param>
    public LatentProducts(Matrix wDec_LE, Matrix bDec_E, ReadOnlySpan<int> modelOffsets)
        : this(BetaSums.Directions(wDec_LE, modelOffsets), null, wDec_LE, bDec_E, modelOffsets)
    {
    }

    /// <summary>Along given directions.</summary>
    /// <param name="directions_LD">[L, D].</param>
    /// <param name="remainder_LD">Added to them in double; null: nothing.</param>
    /// <param name="wDec_LE">[L, E]; null where only activations are explained, as for an SAE: other products are then NaN.</param>
    /// <param name="bDec_E">[1, E], or null with it.</param>
    /// <param name="modelOffsets">[M + 1].</param>
    public LatentProducts(Matrix directions_LD, Matrix? remainder_LD, Matrix? wDec_LE, Matrix? bDec_E, ReadOnlySpan<int> modelOffsets)
    {
        Models = modelOffsets.Length - 1;
        int latents = directions_LD.Rows;
        _decoder_LM = new double[latents * Models];
        _bias_LM = new double[latents * Models];
        _squared_L = new double[latents];
        double[] v_D = new double[directions_LD.Columns];
        for (int j = 0; j < latents; j++)
        {
            for (int d = 0; d < v_D.Length; d++)
            {
                v_D[d] = directions_LD.Row(j)[d] + (remainder_LD is { } low ? (double)low.Row(j)[d] : 0);
                _squared_L[j] += v_D[d] * v_D[d];
            }

            for (int m = 0; m < Models; m++)
            {
                // A direction stands for the last model's decoder row, also where a baseline put another in its place.
                _decoder_LM[j * Models + m] = wDec_LE is not { } w ? double.NaN : m == Models - 1 ? _squared_L[j] : Dot(w.Row(j)[modelOffsets[m]..modelOffsets[m + 1]], v_D);
                _bias_LM[j * Models + m] = bDec_E is { } b ? Dot(b.Row(0)[modelOffsets[m]..modelOffsets[m + 1]], v_D) : double.NaN;
            }
        }
    }

    /// <summary>M.</summary>
    public int Models { get; }

    /// <summary>‖v‖².</summary>
    public double DirectionSquared(int latent) => _squared_L[latent];

    /// <summary>⟨d_m, v⟩; ‖v‖² of the last model, whose row v is or stands for.</summary>
    public double OnDecoder(int latent, int model) => _decoder_LM[latent * Models + model];

    /// <summary>⟨b_m, v⟩.</summary>
    public double OnBias(int latent, int model) => _bias_LM[latent * Models + model];

    static double Dot(ReadOnlySpan<float> a, double[] v)
    {
        double sum = 0;
        for (int i = 0; i < a.Length; i++)
        {
            sum += a[i] * v[i];
        }

        return sum;
    }
}
