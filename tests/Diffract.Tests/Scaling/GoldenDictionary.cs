using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Formats;

namespace Diffract.Tests.Scaling;

/// <summary>The dictionary inside a golden scaling file, with an encode and decode written straight from their formulas and rounded to float32.</summary>
sealed class GoldenDictionary : IDisposable
{
    readonly float[] _bias_L;
    readonly float _threshold;
    readonly Matrix _wEnc_LE;

    public GoldenDictionary(SafetensorsFile file)
    {
        long[] shape = file["dictionary.encoder.weight"].Shape;
        int models = (int)shape[0], width = (int)shape[1], latents = (int)shape[2];
        Offsets = [.. Enumerable.Range(0, models + 1).Select(m => m * width)];
        float[] encoder = file.Floats("dictionary.encoder.weight"), decoder = file.Floats("dictionary.decoder.weight");
        _bias_L = file.Floats("dictionary.encoder.bias");
        _threshold = file.Tensors.ContainsKey("dictionary.threshold") ? file.Floats("dictionary.threshold")[0] : 0;
        _wEnc_LE = Matrix.Host(latents, models * width);
        WDec = Matrix.Host(latents, models * width);
        BDec = Matrix.Host(1, models * width);
        file.Floats("dictionary.decoder.bias").CopyTo(BDec.Row(0));
        for (int m = 0; m < models; m++)
        {
            for (int d = 0; d < width; d++)
            {
                for (int j = 0; j < latents; j++)
                {
                    _wEnc_LE.Row(j)[m * width + d] = encoder[(m * width + d) * latents + j];
                    WDec.Row(j)[m * width + d] = decoder[(m * latents + j) * width + d];
                }
            }
        }
    }

    public int[] Offsets { get; }

    /// <summary>[L, E].</summary>
    public Matrix WEnc => _wEnc_LE;

    /// <summary>[L, E].</summary>
    public Matrix WDec { get; }

    /// <summary>[1, E].</summary>
    public Matrix BDec { get; }

    /// <summary>All activations [N, E].</summary>
    public Matrix Acts(SafetensorsFile file)
    {
        float[] x = file.Floats("x");
        Matrix acts = Matrix.Host(x.Length / WDec.Columns, WDec.Columns);
        HostCopies.Upload(x, acts);
        return acts;
    }

    public SparseCode Encode(Matrix acts_BE)
    {
        int latents = WDec.Rows, models = Offsets.Length - 1, width = Offsets[1];
        double[] scale = new double[latents];
        for (int j = 0; j < latents; j++)
        {
            for (int m = 0; m < models; m++)
            {
                scale[j] += Math.Sqrt(Dot(WDec.Row(j).Slice(m * width, width), WDec.Row(j).Slice(m * width, width)));
            }
        }

        float[][] code = new float[acts_BE.Rows][];
        for (int b = 0; b < acts_BE.Rows; b++)
        {
            code[b] = new float[latents];
            for (int j = 0; j < latents; j++)
            {
                double p = Dot(acts_BE.Row(b), _wEnc_LE.Row(j)) + _bias_L[j];
                code[b][j] = p > 0 && p * scale[j] > _threshold ? (float)p : 0;
            }
        }

        return SparseCodes.From(code);
    }

    public unsafe Matrix Decode(SparseCode code)
    {
        Matrix recon = Matrix.Host(code.Tokens, WDec.Columns);
        for (int b = 0; b < code.Tokens; b++)
        {
            for (int e = 0; e < WDec.Columns; e++)
            {
                double sum = BDec.Row(0)[e];
                for (int i = code.TokenStart.Ints[b]; i < code.TokenStart.Ints[b + 1]; i++)
                {
                    sum += (double)code.PairValue.Floats[code.TokenPairs.Ints[i]] * WDec.Row(code.TokenLatent.Ints[i])[e];
                }

                recon.Row(b)[e] = (float)sum;
            }
        }

        return recon;
    }

    public void Dispose()
    {
        _wEnc_LE.Buffer.Dispose();
        WDec.Buffer.Dispose();
        BDec.Buffer.Dispose();
    }

    static double Dot(ReadOnlySpan<float> a, ReadOnlySpan<float> b)
    {
        double sum = 0;
        for (int i = 0; i < a.Length; i++)
        {
            sum += (double)a[i] * b[i];
        }

        return sum;
    }
}
