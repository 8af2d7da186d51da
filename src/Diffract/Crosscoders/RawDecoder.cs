using Diffract.Compute.Buffers;

namespace Diffract.Crosscoders;

/// <summary>
/// A crosscoder's decoder in units of raw activations: d_m/(g_m + 1e-8) and b_m/(g_m + 1e-8) + μ_m where activations are normalised (spec 1.10), the crosscoder's own matrices where they are
/// not. The code is the same in both: Σ_j f_j·d_j + b is the raw reconstruction.
/// </summary>
public sealed class RawDecoder : IDisposable
{
    readonly bool _owned;

    /// <param name="crosscoder">Read once; later changes of its weights are not seen where it normalises.</param>
    public RawDecoder(Crosscoder crosscoder)
    {
        (WDec_LE, BDec_E) = (crosscoder.WDec_LE, crosscoder.BDec_E);
        if (crosscoder.Normalisation is not { } norm)
        {
            return;
        }

        _owned = true;
        float[] inverse_E = norm.Inverse_E(crosscoder.ModelOffsets);
        WDec_LE = Matrix.Host(crosscoder.Latents, crosscoder.E);
        BDec_E = Matrix.Host(1, crosscoder.E);
        for (int j = 0; j < crosscoder.Latents; j++)
        {
            Multiply(crosscoder.WDec_LE.Row(j), inverse_E, WDec_LE.Row(j));
        }

        Span<float> bias_E = BDec_E.Row(0);
        Multiply(crosscoder.BDec_E.Row(0), inverse_E, bias_E);
        for (int e = 0; e < bias_E.Length; e++)
        {
            bias_E[e] += norm.Mean_E[e];
        }
    }

    /// <summary>[L, E].</summary>
    public Matrix WDec_LE { get; }

    /// <summary>[1, E].</summary>
    public Matrix BDec_E { get; }

    public void Dispose()
    {
        if (_owned)
        {
            WDec_LE.Buffer.Dispose();
            BDec_E.Buffer.Dispose();
        }
    }

    static void Multiply(ReadOnlySpan<float> source_E, float[] factor_E, Span<float> target_E)
    {
        for (int e = 0; e < source_E.Length; e++)
        {
            target_E[e] = source_E[e] * factor_E[e];
        }
    }
}
