using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;

namespace Diffract.Crosscoders;

/// <summary>
/// A dictionary shared by M models: f = select(ReLU(Σ_m x_m·W_enc,m + b_enc)), x̂_m = f·W_dec,m + b_dec,m. Codes are unscaled; selection, thresholds and statistics use f·s
/// with the code norm s of <see cref="CrosscoderConfig.CodeNorm"/>.
/// </summary>
public sealed class Crosscoder : IDisposable
{
    /// <summary>All weights zero, threshold unset.</summary>
    public Crosscoder(CrosscoderConfig config, IBackend backend)
    {
        config.Check();
        Config = config;
        Backend = backend;
        WEnc_LE = backend.Matrix(Latents, E);
        BEnc_L = backend.Matrix(1, Latents);
        WDec_LE = backend.Matrix(Latents, E);
        BDec_E = backend.Matrix(1, E);
        Norms_LM = backend.Matrix(Latents, Models);
        Scale_L = backend.Matrix(1, Latents);
        RefreshNorms();
    }

    public CrosscoderConfig Config { get; }

    public IBackend Backend { get; }

    /// <summary>L.</summary>
    public int Latents => Config.Latents;

    /// <summary>The models' widths end to end.</summary>
    public int E => Config.E;

    /// <summary>M.</summary>
    public int Models => Config.Models;

    /// <summary>[M + 1].</summary>
    public int[] ModelOffsets => Config.ModelOffsets;

    /// <summary>BatchTopK: pairs with f·s above it are active at inference; below 0 it is unset.</summary>
    public float Threshold { get; set; } = -1;

    /// <summary>True where inference would be dense for want of a threshold.</summary>
    public bool ThresholdUnset => Config.Kind == CrosscoderKind.BatchTopK && Threshold < 0;

    /// <summary>[L, E]: encoder columns as rows.</summary>
    public Matrix WEnc_LE { get; }

    /// <summary>[1, L].</summary>
    public Matrix BEnc_L { get; }

    /// <summary>[L, E].</summary>
    public Matrix WDec_LE { get; }

    /// <summary>[1, E].</summary>
    public Matrix BDec_E { get; }

    /// <summary>[L, M]: decoder norms by model; current after <see cref="RefreshNorms"/>.</summary>
    public Matrix Norms_LM { get; }

    /// <summary>[1, L]: the code norm s; current after <see cref="RefreshNorms"/>.</summary>
    public Matrix Scale_L { get; }

    /// <summary>Which pairs are active at inference. An unset threshold keeps every positive one (spec 2.4).</summary>
    public Selection Inference => Config.Kind == CrosscoderKind.L1 || ThresholdUnset ? Selection.Positive : Selection.Above(Threshold);

    /// <summary>Recomputes decoder norms and code norm; call it after weights were changed by hand.</summary>
    public void RefreshNorms()
        => Backend.Crosscoder.DecoderNorms(new LatentParameters(
            WEnc_LE, BEnc_L, WDec_LE, default, default, default, default, default, default, Norms_LM, Scale_L, ModelOffsets, Config.CodeNorm, null));

    /// <summary>A code with room for batches of <paramref name="tokens"/>.</summary>
    public SparseCode NewCode(int tokens) => new(tokens, Latents, tokens * Math.Min(Latents, Config.Kind == CrosscoderKind.BatchTopK ? Config.K : 32));

    /// <summary>The inference code of a batch [B, E], unscaled.</summary>
    public void Encode(Matrix acts_BE, SparseCode code) => Backend.Crosscoder.EncodeSelect(acts_BE, WEnc_LE, BEnc_L, Scale_L, Inference, code);

    /// <summary>The reconstruction [B, E], decoder bias included.</summary>
    public void Decode(SparseCode code, Matrix recon_BE) => Backend.Crosscoder.Decode(code, WDec_LE, BDec_E, recon_BE);

    /// <summary>
    /// Δ-norm of a latent, ½((‖d_chat‖ - ‖d_base‖)/max(‖d_chat‖, ‖d_base‖) + 1), between the first two models: 1 is chat-only, 0 base-only; NaN when both norms are 0.
    /// </summary>
    public double RelativeDecoderNorm(int latent)
    {
        double fromBase = Norms_LM.Row(latent)[0];
        double fromChat = Norms_LM.Row(latent)[1];
        return ((fromChat - fromBase) / Math.Max(fromChat, fromBase) + 1) / 2;
    }

    public void Dispose()
    {
        foreach (Matrix matrix in (ReadOnlySpan<Matrix>)[WEnc_LE, BEnc_L, WDec_LE, BDec_E, Norms_LM, Scale_L])
        {
            matrix.Buffer.Dispose();
        }
    }
}
