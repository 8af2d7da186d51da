using System.Numerics;
using Diffract.Compute.Kernels;

namespace Diffract.Cpu.Crosscoder;

/// <summary>What is done to the gradient rows of a latent once they are summed: columns that its mask takes away become 0, and a unit decoder's gradient loses its part along the row.</summary>
readonly unsafe struct GradientShape(in LatentParameters parameters, int* offsets)
{
    readonly int* _offsets = offsets;
    readonly int _models = parameters.ModelOffsets.Length - 1;
    readonly int* _reads = parameters.Masks is { } masks ? masks.Reads_L.Ints : null;
    readonly int* _writes = parameters.Masks is { } masks ? masks.Writes_L.Ints : null;
    readonly bool _unit = parameters.UnitDecoder;

    public void Encoder(int latent, float* gEnc)
    {
        if (_reads != null)
        {
            Clear(~_reads[latent], gEnc);
        }
    }

    public void Decoder(int latent, float* dec, float* gDec)
    {
        if (_writes != null)
        {
            Clear(~_writes[latent], gDec);
        }

        if (_unit)
        {
            int width = _offsets[_models];
            double length = Math.Sqrt(RowSums.Squares(dec, width)) + 1e-6;
            float along = (float)(RowSums.Dot(gDec, dec, width) / (length * length));
            for (int c = 0; c < width; c++)
            {
                gDec[c] = float.MultiplyAddEstimate(-along, dec[c], gDec[c]);
            }
        }
    }

    /// <summary>After Adam: a unit decoder's row back to length 1, d /= ‖d‖ + 2⁻²³.</summary>
    public void Renormalise(float* dec)
    {
        if (_unit)
        {
            int width = _offsets[_models];
            float factor = (float)(1 / (Math.Sqrt(RowSums.Squares(dec, width)) + (MathF.BitIncrement(1) - 1)));
            for (int c = 0; c < width; c++)
            {
                dec[c] *= factor;
            }
        }
    }

    void Clear(int away, float* row)
    {
        for (int rest = away & ((1 << _models) - 1); rest != 0; rest &= rest - 1)
        {
            int model = BitOperations.TrailingZeroCount(rest);
            new Span<float>(row + _offsets[model], _offsets[model + 1] - _offsets[model]).Clear();
        }
    }
}
