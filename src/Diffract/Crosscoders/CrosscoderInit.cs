using Diffract.Runs;

namespace Diffract.Crosscoders;

/// <summary>
/// First weights of a crosscoder (spec 2.2): Kaiming-uniform with torch's fan-in, drawn by a counter-based generator, so that element i of a tensor
/// depends on the seed, the tensor and i alone.
/// </summary>
/// <param name="Seed">Seed of the draws.</param>
/// <param name="SameForAllModels">One draw, copied to each model: every latent begins exactly shared (Δ-norm 0.5). Needs equal widths.</param>
/// <param name="Transpose">The decoder begins as the encoder's transpose, also for models that the encoder then does not read; else it is drawn.</param>
/// <param name="Norm">Length that every latent vector is scaled to, for each model; null leaves the draws as they are.</param>
public sealed record CrosscoderInit(long Seed, bool SameForAllModels = true, bool Transpose = true, double? Norm = null)
{
    const ulong EncoderStream = 1;
    const ulong DecoderStream = 2;

    /// <summary>What the paper's runs used: L1 begins at norm 0.005, BatchTopK (and with it JumpReLU) at 1.</summary>
    public static CrosscoderInit Paper(CrosscoderKind kind, long seed) => new(seed, Norm: kind == CrosscoderKind.L1 ? 0.005 : 1);

    /// <summary>SAE: length of the encoder's first vectors; the decoder's have length 1 (spec 2.5).</summary>
    public double EncoderNorm { get; init; } = 1;

    /// <summary>Writes all weights; biases become 0 and the threshold unset.</summary>
    /// <exception cref="DiffractException">One draw for models of different widths.</exception>
    public void Apply(Crosscoder crosscoder)
    {
        int[] offsets = crosscoder.ModelOffsets;
        int[] widths = crosscoder.Config.Widths;
        if (crosscoder.Config.Sae)
        {
            ApplySae(crosscoder);
            return;
        }

        if (SameForAllModels && !crosscoder.Config.EqualWidths)
        {
            throw DiffractException.Argument($"models of widths [{string.Join(", ", widths)}] cannot begin with the same weights; wanted equal widths, or a draw for each (--same-init false)");
        }

        for (int j = 0; j < crosscoder.Latents; j++)
        {
            for (int m = 0; m < widths.Length; m++)
            {
                // torch's fan-in: columns of a matrix [d, L] or [L, d]; all but the first axis of a tensor [M, d, L] or [M, L, d], with each model's own d.
                double encoderFan = SameForAllModels ? crosscoder.Latents : (double)widths[m] * crosscoder.Latents;
                double decoderFan = SameForAllModels ? widths[m] : (double)widths[m] * crosscoder.Latents;
                Span<float> enc_D = crosscoder.WEnc_LE.Row(j)[offsets[m]..offsets[m + 1]];
                Span<float> dec_D = crosscoder.WDec_LE.Row(j)[offsets[m]..offsets[m + 1]];
                Draw(enc_D, EncoderStream, j, SameForAllModels ? 0 : m, encoderFan);
                if (Transpose)
                {
                    enc_D.CopyTo(dec_D);
                }
                else
                {
                    Draw(dec_D, DecoderStream, j, SameForAllModels ? 0 : m, decoderFan);
                }
            }
        }

        crosscoder.ClearMasked();
        Finish(crosscoder);
    }

    /// <summary>Decoder rows uniform in a cube, then of length 1; the encoder a multiple of them.</summary>
    void ApplySae(Crosscoder crosscoder)
    {
        CrosscoderInit unit = this with { Norm = 1 };
        for (int j = 0; j < crosscoder.Latents; j++)
        {
            Span<float> dec_E = crosscoder.WDec_LE.Row(j), enc_E = crosscoder.WEnc_LE.Row(j);
            unit.Draw(dec_E, DecoderStream, j, 0, crosscoder.Latents);
            for (int e = 0; e < dec_E.Length; e++)
            {
                enc_E[e] = (float)(dec_E[e] * EncoderNorm);
            }
        }

        Finish(crosscoder);
    }

    static void Finish(Crosscoder crosscoder)
    {
        crosscoder.BEnc_L.Row(0).Clear();
        crosscoder.BDec_E.Row(0).Clear();
        crosscoder.Threshold = -1;
        crosscoder.Threshold_L?.Row(0).Clear();
        crosscoder.RefreshNorms();
    }

    void Draw(Span<float> vector, ulong stream, int latent, int model, double fanIn)
    {
        double bound = Math.Sqrt(2) * Math.Sqrt(3 / fanIn);
        double squares = 0;
        for (int i = 0; i < vector.Length; i++)
        {
            vector[i] = (float)((2 * Uniform(stream, latent, model, i) - 1) * bound);
            squares += (double)vector[i] * vector[i];
        }

        if (Norm is { } norm && squares > 0)
        {
            double factor = norm / Math.Sqrt(squares);
            foreach (ref float value in vector)
            {
                value = (float)(value * factor);
            }
        }
    }

    double Uniform(ulong stream, int latent, int model, int column)
        => Draws.Uniform((ulong)Seed, stream, (ulong)latent, ((ulong)(uint)model << 40) | (uint)column);
}
