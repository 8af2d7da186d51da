using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;

namespace Diffract.Kernels.Tests.Crosscoder;

/// <summary>
/// A small crosscoder with a batch of activations. <c>exact</c> numbers are multiples of 1/8: every sum is exact in float32, so that equal scores are equal
/// on every backend and selections can be compared pair by pair.
/// </summary>
sealed class CrosscoderCase
{
    readonly Random _random;
    readonly bool _exact;

    public CrosscoderCase(int tokens, int latents, int[] widths, bool exact, int seed, CodeNorm codeNorm = default)
    {
        _random = new Random(seed);
        _exact = exact;
        Tokens = tokens;
        Latents = latents;
        Offsets = [0, .. widths.Select((_, i) => widths.Take(i + 1).Sum())];
        E = Offsets[^1];
        Acts_BE = Fill(tokens, E, padding: 3);
        BDec_E = Fill(1, E);
        Parameters = new LatentParameters(
            Fill(latents, E, padding: 1), Fill(1, latents), Fill(latents, E, padding: 5),
            Small(latents, E), Small(latents, E, positive: true), Small(1, latents), Small(1, latents, positive: true), Small(latents, E), Small(latents, E, positive: true),
            Matrix.Host(latents, widths.Length), Positive(latents), Offsets, codeNorm, Pull_LM: null);
        // One latent that decodes to nothing: its norms are 0.
        Parameters.WDec_LE.Row(latents - 1).Clear();
    }

    public int Tokens { get; }

    public int Latents { get; }

    public int E { get; }

    public int[] Offsets { get; }

    public Matrix Acts_BE { get; }

    public Matrix BDec_E { get; }

    public LatentParameters Parameters { get; set; }

    public SparseCode NewCode() => new(Tokens, Latents, 16);

    /// <summary>Random numbers in a matrix whose rows lie apart.</summary>
    public Matrix Fill(int rows, int columns, int padding = 0)
    {
        Matrix matrix = Matrix.Host(rows, columns + padding).SliceColumns(0, columns);
        for (int r = 0; r < rows; r++)
        {
            foreach (ref float x in matrix.Row(r))
            {
                x = _exact ? _random.Next(-8, 9) / 8f : (float)(_random.NextDouble() * 2 - 1);
            }
        }

        return matrix;
    }

    /// <summary>A copy that an update may change.</summary>
    public LatentParameters Copy(Matrix? pull_LM = null)
    {
        LatentParameters p = Parameters;
        return new LatentParameters(
            Copy(p.WEnc_LE), Copy(p.BEnc_L), Copy(p.WDec_LE), Copy(p.EncM_LE), Copy(p.EncV_LE), Copy(p.BiasM_L), Copy(p.BiasV_L), Copy(p.DecM_LE), Copy(p.DecV_LE),
            Copy(p.Norms_LM), Copy(p.Scale_L), Offsets, p.CodeNorm, pull_LM);
    }

    public static Matrix Copy(Matrix source)
    {
        Matrix copy = Matrix.Host(source.Rows, source.Columns);
        for (int r = 0; r < source.Rows; r++)
        {
            source.Row(r).CopyTo(copy.Row(r));
        }

        return copy;
    }

    Matrix Positive(int latents)
    {
        Matrix scale_L = Matrix.Host(1, latents);
        foreach (ref float s in scale_L.Row(0))
        {
            s = _random.Next(1, 9) / 4f;
        }

        return scale_L;
    }

    Matrix Small(int rows, int columns, bool positive = false)
    {
        Matrix matrix = Matrix.Host(rows, columns);
        for (int r = 0; r < rows; r++)
        {
            foreach (ref float x in matrix.Row(r))
            {
                x = (float)(positive ? _random.NextDouble() * 0.01 + 1e-4 : (_random.NextDouble() - 0.5) * 0.1);
            }
        }

        return matrix;
    }
}
