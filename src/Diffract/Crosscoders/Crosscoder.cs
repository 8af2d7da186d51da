using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;

namespace Diffract.Crosscoders;

/// <summary>
/// A dictionary shared by M models: f = select(ReLU(Σ_m x_m·W_enc,m + b_enc)), x̂_m = f·W_dec,m + b_dec,m. Codes are unscaled; selection, thresholds and statistics use f·s
/// with the code norm s of <see cref="CrosscoderConfig.CodeNorm"/>. A plain SAE is one of a single model whose encoder sees x - b_dec. Activations and reconstructions are raw;
/// <see cref="Normalisation"/>, where there is one, stands before the encoder and after the decoder.
/// </summary>
public sealed class Crosscoder : IDisposable
{
    readonly Selection[] _rules_M;
    Matrix[] _normalisation = [];
    Matrix? _scratch_BE;

    /// <summary>All weights zero, threshold unset.</summary>
    /// <param name="config">Kind and sizes.</param>
    /// <param name="backend">Where the weights lie.</param>
    /// <param name="normalisation">Normalisation of the activations; null for raw ones.</param>
    public Crosscoder(CrosscoderConfig config, IBackend backend, ActivationNorm? normalisation = null)
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
        Threshold_L = config.Kind == CrosscoderKind.JumpReLU ? backend.Matrix(1, Latents) : null;
        Thresholds = new float[Decoupled ? Models : 1];
        Array.Fill(Thresholds, -1);
        _rules_M = new Selection[Decoupled ? Models : 0];
        Masks = config.NewMasks();
        SetNormalisation(normalisation);
        RefreshNorms();
    }

    public CrosscoderConfig Config { get; }

    public IBackend Backend { get; }

    /// <summary>What activations go through before the encoder; null where it takes raw ones. Weights, norms and residuals are then in units of normalised activations.</summary>
    public ActivationNorm? Normalisation { get; private set; }

    /// <summary>Which models each latent reads and writes; null for all.</summary>
    public LatentMasks? Masks { get; }

    /// <summary>L.</summary>
    public int Latents => Config.Latents;

    /// <summary>The models' widths end to end.</summary>
    public int E => Config.E;

    /// <summary>M.</summary>
    public int Models => Config.Models;

    /// <summary>[M + 1].</summary>
    public int[] ModelOffsets => Config.ModelOffsets;

    /// <summary>True where each model selects its own code: BatchTopK with the code norm DECOUPLED.</summary>
    public bool Decoupled => Config.Kind == CrosscoderKind.BatchTopK && Config.CodeNorm.Kind == CodeNormKind.Decoupled;

    /// <summary>BatchTopK: pairs with f·s above it are active at inference; below 0 it is unset. One, or one for each model of a decoupled code.</summary>
    public float[] Thresholds { get; }

    /// <summary>The one threshold, or the first model's; setting it sets all.</summary>
    public float Threshold
    {
        get => Thresholds[0];
        set => Array.Fill(Thresholds, value);
    }

    /// <summary>JumpReLU: [1, L], from 0; pairs with p·s above that of their latent are active. Null for other kinds.</summary>
    public Matrix? Threshold_L { get; }

    /// <summary>True where inference would be dense for want of a threshold.</summary>
    public bool ThresholdUnset => Config.Kind == CrosscoderKind.BatchTopK && !Config.LargestPerToken && Thresholds.Any(t => t < 0);

    /// <summary>[L, E]: encoder columns as rows; 0 in the columns of models that are not read.</summary>
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

    /// <summary>Which pairs are active at inference of a code that is not decoupled. An unset threshold keeps every positive one (spec 2.4).</summary>
    public Selection Inference
        => Threshold_L is { } threshold_L ? Selection.AboveEach(threshold_L)
            : Config.Kind == CrosscoderKind.L1 || ThresholdUnset || Config.LargestPerToken ? Selection.Positive
            : Selection.Above(Threshold);

    /// <summary>The weights as the kernels take them, without moments.</summary>
    public LatentParameters Parameters
        => new(WEnc_LE, BEnc_L, WDec_LE, default, default, default, default, default, default, Norms_LM, Scale_L, ModelOffsets, Config.CodeNorm, null, Masks, Config.Sae);

    /// <summary>
    /// Activations are multiplied by these factors before the encoder and reconstructions divided by them, as a dictionary that was trained on scaled activations needs; null takes that away.
    /// Codes, decoder norms and thresholds stay those of the units that it was trained in.
    /// </summary>
    public void ScaleInputs(double[]? factor_M) => SetNormalisation(factor_M is null ? null : ActivationNorm.OfFactors(factor_M, ModelOffsets));

    /// <summary>Recomputes decoder norms and code norm; call it after weights were changed by hand.</summary>
    public void RefreshNorms() => Backend.Crosscoder.DecoderNorms(Parameters);

    /// <summary>Sets the weights that the masks take away to 0, where they stay.</summary>
    public void ClearMasked()
    {
        for (int j = 0; Masks is { } masks && j < Latents; j++)
        {
            for (int m = 0; m < Models; m++)
            {
                (masks.Reads(j, m) ? [] : WEnc_LE.Row(j)[ModelOffsets[m]..ModelOffsets[m + 1]]).Clear();
                (masks.Writes(j, m) ? [] : WDec_LE.Row(j)[ModelOffsets[m]..ModelOffsets[m + 1]]).Clear();
            }
        }
    }

    /// <summary>A code with room for batches of <paramref name="tokens"/>.</summary>
    public SparseCode NewCode(int tokens) => new(tokens, Latents, tokens * Math.Min(Latents, Config.Kind == CrosscoderKind.BatchTopK ? Config.K : 32));

    /// <summary>The inference code of a batch of raw activations [B, E], unscaled.</summary>
    public void Encode(Matrix acts_BE, SparseCode code)
    {
        Matrix input_BE = acts_BE;
        if (Normalisation is not null)
        {
            input_BE = Scratch(acts_BE.Rows);
            Normalise(acts_BE, input_BE);
        }

        EncodeNormalised(input_BE, code);
    }

    /// <summary>The raw reconstruction [B, E], decoder bias included.</summary>
    public void Decode(SparseCode code, Matrix recon_BE)
    {
        DecodeNormalised(code, recon_BE);
        if (Normalisation is not null)
        {
            Backend.Crosscoder.Affine(recon_BE, null, _normalisation[2], _normalisation[0], recon_BE);
        }
    }

    /// <summary>Raw activations as the encoder takes them; a copy where there is no normalisation. Both may be one matrix.</summary>
    public void Normalise(Matrix acts_BE, Matrix normalised_BE)
        => Backend.Crosscoder.Affine(
            acts_BE, Normalisation is null ? null : _normalisation[0], Normalisation is null ? null : _normalisation[1], null, normalised_BE);

    /// <summary>The inference code of normalised activations.</summary>
    public void EncodeNormalised(Matrix normalised_BE, SparseCode code)
    {
        Matrix input_BE = normalised_BE;
        if (Config.Sae)
        {
            input_BE = Scratch(normalised_BE.Rows);
            Centre(normalised_BE, input_BE);
        }

        if (Decoupled)
        {
            for (int m = 0; m < Models; m++)
            {
                _rules_M[m] = Thresholds[m] < 0 ? Selection.Positive : Selection.Above(Thresholds[m]);
            }

            Backend.Crosscoder.EncodeSelectByModel(input_BE, WEnc_LE, BEnc_L, Norms_LM, ModelOffsets, _rules_M, code);
            return;
        }

        Backend.Crosscoder.EncodeSelect(input_BE, WEnc_LE, BEnc_L, Scale_L, Inference, code);
        if (Config.LargestPerToken)
        {
            LargestPerToken.Keep(code, Config.K);
        }
    }

    /// <summary>The <paramref name="count"/> largest scaled pre-activations of the batch, of each model where the code is decoupled: the code of training.</summary>
    /// <param name="input_BE">Normalised and, for an SAE, centred.</param>
    /// <param name="count">k·B.</param>
    /// <param name="code">Written.</param>
    public void EncodeLargest(Matrix input_BE, int count, SparseCode code)
    {
        if (Decoupled)
        {
            Array.Fill(_rules_M, Selection.BatchTopK(count));
            Backend.Crosscoder.EncodeSelectByModel(input_BE, WEnc_LE, BEnc_L, Norms_LM, ModelOffsets, _rules_M, code);
            return;
        }

        Backend.Crosscoder.EncodeSelect(input_BE, WEnc_LE, BEnc_L, Scale_L, Selection.BatchTopK(count), code);
    }

    /// <summary>x - b_dec, what the encoder of an SAE sees.</summary>
    public void Centre(Matrix normalised_BE, Matrix centred_BE) => Backend.Crosscoder.Affine(normalised_BE, BDec_E, null, null, centred_BE);

    /// <summary>The reconstruction of normalised activations, decoder bias included.</summary>
    public void DecodeNormalised(SparseCode code, Matrix recon_BE) => Backend.Crosscoder.Decode(code, WDec_LE, BDec_E, recon_BE);

    /// <summary>What the latents of a code add to raw activations [B, E]: Σ f·d in raw units, without any bias.</summary>
    public void DecodeLatents(SparseCode code, Matrix sum_BE)
    {
        Backend.Crosscoder.Decode(code, WDec_LE, null, sum_BE);
        if (Normalisation is not null)
        {
            Backend.Crosscoder.Affine(sum_BE, null, _normalisation[2], null, sum_BE);
        }
    }

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
        Masks?.Dispose();
        _scratch_BE?.Buffer.Dispose();
        foreach (Matrix matrix in (ReadOnlySpan<Matrix>)[WEnc_LE, BEnc_L, WDec_LE, BDec_E, Norms_LM, Scale_L, .. _normalisation])
        {
            matrix.Buffer.Dispose();
        }
    }

    /// <summary>Working memory [B, E], kept from call to call.</summary>
    Matrix Scratch(int rows)
    {
        if (_scratch_BE is not { } scratch_BE || scratch_BE.Rows < rows)
        {
            _scratch_BE?.Buffer.Dispose();
            scratch_BE = Backend.Matrix(rows, E);
            _scratch_BE = scratch_BE;
        }

        return scratch_BE.SliceRows(0, rows);
    }

    void SetNormalisation(ActivationNorm? normalisation)
    {
        Array.ForEach(_normalisation, m => m.Buffer.Dispose());
        Normalisation = normalisation;
        _normalisation = normalisation is null ? [] : [Row(normalisation.Mean_E), Row(normalisation.Factor_E(ModelOffsets)), Row(normalisation.Inverse_E(ModelOffsets))];
    }

    Matrix Row(float[] values)
    {
        Matrix row = Backend.Matrix(1, values.Length);
        Backend.Upload(values, row);
        return row;
    }
}
