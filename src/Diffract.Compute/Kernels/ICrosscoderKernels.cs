using Diffract.Compute.Buffers;

namespace Diffract.Compute.Kernels;

/// <summary>
/// The operations of a crosscoder. B tokens, M models, E = sum of the models' widths (end to end), L latents.
/// All matrices are float32 and row-major. Results do not depend on the number of threads: every element is summed in one fixed order.
/// Sums over a batch (losses, norms) are taken in double.
/// </summary>
public interface ICrosscoderKernels
{
    /// <summary>
    /// p_bj = ReLU(⟨acts_b, wEnc_j⟩ + bEnc_j), q = p·s; keeps the pairs that <paramref name="selection"/> chooses, with their unscaled p.
    /// Ties of BatchTopK: the smaller latent index first, then the smaller token. No dense matrix is kept.
    /// </summary>
    /// <param name="acts_BE">[B, E].</param>
    /// <param name="wEnc_LE">[L, E].</param>
    /// <param name="bEnc_L">[1, L].</param>
    /// <param name="scale_L">[1, L]: the code norm s.</param>
    /// <param name="selection">Rule and parameter.</param>
    /// <param name="code">Written: tokens, pairs, both orders, <see cref="SparseCode.SmallestScaled"/>.</param>
    void EncodeSelect(Matrix acts_BE, Matrix wEnc_LE, Matrix bEnc_L, Matrix scale_L, Selection selection, SparseCode code);

    /// <summary>code_BL = ReLU(acts_BE · wEnc_LEᵀ + bEnc_L). Rows of <paramref name="wEnc_LE"/> may be any subset of latents.</summary>
    void EncodeDense(Matrix acts_BE, Matrix wEnc_LE, Matrix bEnc_L, Matrix code_BL);

    /// <summary>
    /// Among the latents <paramref name="latents"/> (ascending) takes for each token the <paramref name="perToken"/> with the largest q = p·s, and keeps those
    /// with p &gt; 0 (spec 3.5, aux-k). Ties: the smaller index first.
    /// </summary>
    void SelectDead(Matrix acts_BE, Matrix wEnc_LE, Matrix bEnc_L, Matrix scale_L, ReadOnlySpan<int> latents, int perToken, SparseCode code);

    /// <summary>recon_b = Σ_j f_bj wDec_j + bDec over the active pairs; <paramref name="bDec_E"/> null leaves the bias out.</summary>
    void Decode(SparseCode code, Matrix wDec_LE, Matrix? bDec_E, Matrix recon_BE);

    /// <summary>recon_BE = code_BL · wDec_LE + bDec_E.</summary>
    void DecodeDense(Matrix code_BL, Matrix wDec_LE, Matrix? bDec_E, Matrix recon_BE);

    /// <summary>
    /// With e = acts - recon: the loss parts, and dLoss/dRecon for the loss asked for. Norm loss: mean over b and models of ‖e_bm‖₂,
    /// gradient -e/(‖e_bm‖·B·M), 0 where e = 0. MSE: mean over b and models of ‖e_bm‖², gradient -2e/(B·M).
    /// </summary>
    /// <param name="acts_BE">[B, E].</param>
    /// <param name="recon_BE">[B, E].</param>
    /// <param name="modelOffsets">[M + 1]: the columns of model m are modelOffsets[m] .. modelOffsets[m + 1] - 1.</param>
    /// <param name="meanSquared">False: norm loss. True: MSE.</param>
    /// <param name="residual_BE">Written when not null: e.</param>
    /// <param name="grad_BE">Written when not null: dLoss/dRecon.</param>
    ResidualSums Residual(Matrix acts_BE, Matrix recon_BE, ReadOnlySpan<int> modelOffsets, bool meanSquared, Matrix? residual_BE, Matrix? grad_BE);

    /// <summary>
    /// Squared distance of the aux reconstruction from the (detached) residual, summed over tokens and columns, its denominator
    /// Σ_b‖r_b - mean_b r‖², and the gradient coefficient·2(recon - r) into <paramref name="grad_BE"/>, where coefficient = alpha / denominator
    /// (0 when the denominator is 0). Sums, not means: both means have the same 1/B.
    /// </summary>
    (double Squared, double Denominator) AuxResidual(Matrix residual_BE, Matrix auxRecon_BE, double alpha, Matrix grad_BE);

    /// <summary>
    /// dLoss/df_bj = ⟨grad_b, wDec_j⟩ + penalty·s_j into <see cref="SparseCode.PairGradient"/>. Penalty is mu/B for L1, else 0.
    /// </summary>
    void CodeGradient(SparseCode code, Matrix grad_BE, Matrix wDec_LE, Matrix scale_L, float penalty);

    /// <summary>codeGrad_BL = grad_BE · wDec_LEᵀ + penalty·s, set to 0 where code_BL is not above 0.</summary>
    void CodeGradientDense(Matrix code_BL, Matrix grad_BE, Matrix wDec_LE, Matrix scale_L, float penalty, Matrix codeGrad_BL);

    /// <summary>Σ_b rows of <paramref name="grad_BE"/> into <paramref name="sum_E"/> [1, E], in double, then rounded: the gradient of bDec.</summary>
    void ColumnSums(Matrix grad_BE, Matrix sum_E);

    /// <summary>
    /// Sum of squares of all gradients of wEnc, wDec and bEnc that <see cref="UpdateLatents"/> would apply before clipping. Zero-gradient rows add nothing.
    /// </summary>
    double GradientSquares(ReadOnlySpan<LatentTerm> terms, Matrix acts_BE, in LatentParameters parameters);

    /// <summary>
    /// One visit per latent j. Gradients: gDec_j = Σ_terms Σ_b f_bj grad_b + Σ_m pull_jm · d_jm/‖d_jm‖ (0 at norm 0), gEnc_j = Σ_terms Σ_b γ_bj acts_b, gBias_j = Σ_terms Σ_b γ_bj;
    /// each times <see cref="AdamStep.Clip"/>; then Adam on the three, then the decoder norms by model and the code norm s are written anew.
    /// </summary>
    void UpdateLatents(ReadOnlySpan<LatentTerm> terms, Matrix acts_BE, in LatentParameters parameters, in AdamStep adam);

    /// <summary>
    /// The dense step's gradients: gEnc_LE = codeGrad_BLᵀ · acts_BE, gDec_LE = code_BLᵀ · grad_BE + pull·d/‖d‖, gBias_L = column sums of codeGrad_BL.
    /// </summary>
    void WeightGradientsDense(Matrix code_BL, Matrix codeGrad_BL, Matrix acts_BE, Matrix grad_BE, in LatentParameters parameters, Matrix gEnc_LE, Matrix gDec_LE, Matrix gBias_L);

    /// <summary>Sum of squares of a matrix, in double.</summary>
    double SumOfSquares(Matrix matrix);

    /// <summary>Adam on any matrix: m, v and w move in place.</summary>
    void UpdateDense(Matrix w, Matrix gradient, Matrix adamM, Matrix adamV, in AdamStep adam);

    /// <summary>Writes the decoder norms by model, and s for the given code norm, from wDec alone.</summary>
    void DecoderNorms(in LatentParameters parameters);

    /// <summary>Per latent, over the batch: sum of f, from the pairs, into <paramref name="sum_L"/> [1, L]. Terms of the L1 pull and of "fired in batch".</summary>
    void CodeSums(SparseCode code, Matrix sum_L);
}

/// <summary>What one reconstruction adds to the losses, in double.</summary>
/// <param name="NormSum">Σ_b Σ_m ‖e_bm‖₂.</param>
/// <param name="SquareSum">Σ_b Σ_m ‖e_bm‖².</param>
public readonly record struct ResidualSums(double NormSum, double SquareSum);

/// <summary>How s is made from the decoder norms: spec 2.3.</summary>
public enum CodeNormKind
{
    /// <summary>s_j = Σ_m ‖d_jm‖.</summary>
    Crosscoder,

    /// <summary>s_j = 1.</summary>
    None,
}

/// <summary>The tensors of a crosscoder in training, with their Adam moments and norms.</summary>
public readonly record struct LatentParameters(
    Matrix WEnc_LE, Matrix BEnc_L, Matrix WDec_LE,
    Matrix EncM_LE, Matrix EncV_LE, Matrix BiasM_L, Matrix BiasV_L, Matrix DecM_LE, Matrix DecV_LE,
    Matrix Norms_LM, Matrix Scale_L, int[] ModelOffsets, CodeNormKind CodeNorm, Matrix? Pull_LM);

/// <summary>One source of gradients for the latents: a code with its gradient, and dLoss/dRecon of the reconstruction it decodes into.</summary>
public readonly record struct LatentTerm(SparseCode Code, Matrix Grad_BE);

/// <summary>
/// One step of Adam as torch computes it: m = β₁m + (1-β₁)g, v = β₂v + (1-β₂)g², w -= (lr/correction1)·m/(√v/√correction2 + ε), with correction_i = 1 - β_i^t.
/// </summary>
/// <param name="LearningRate">lr of this step; 0 still moves the moments.</param>
/// <param name="Beta1">0.9.</param>
/// <param name="Beta2">0.999.</param>
/// <param name="Epsilon">1e-8.</param>
/// <param name="Correction1">1 - β₁^t, t counted from 1.</param>
/// <param name="Correction2">1 - β₂^t.</param>
/// <param name="Clip">Factor on every gradient, min(1, max/(norm + 1e-6)); 1 when off.</param>
public readonly record struct AdamStep(
    double LearningRate, double Beta1, double Beta2, double Epsilon, double Correction1, double Correction2, double Clip)
{
    /// <summary>The step numbered <paramref name="t"/>, from 1.</summary>
    public static AdamStep At(long t, double learningRate, double clip, double beta1 = 0.9, double beta2 = 0.999, double epsilon = 1e-8)
        => new(learningRate, beta1, beta2, epsilon, 1 - Math.Pow(beta1, t), 1 - Math.Pow(beta2, t), clip);
}
