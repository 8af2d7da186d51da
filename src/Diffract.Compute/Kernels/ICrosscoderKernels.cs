using Diffract.Compute.Buffers;

namespace Diffract.Compute.Kernels;

/// <summary>
/// The operations of a crosscoder. B tokens, M models, E = sum of the models' widths (end to end), L latents.
/// All matrices are float32 and row-major. Results do not depend on the number of threads: every element is summed in one fixed order.
/// Sums over a batch (losses, norms) are taken in double, sums over latents shard by shard (<see cref="VirtualShards"/>).
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

    /// <summary>
    /// The decoupled code: p as in <see cref="EncodeSelect"/>, q_bjm = p_bj·‖d_jm‖ selected for each model by its own rule. The code holds the pairs that are active in any model,
    /// with <see cref="SparseCode.PairModels"/> saying in which, and <see cref="SparseCode.SmallestByModel"/>.
    /// </summary>
    /// <param name="acts_BE">[B, E].</param>
    /// <param name="wEnc_LE">[L, E].</param>
    /// <param name="bEnc_L">[1, L].</param>
    /// <param name="norms_LM">[L, M]: decoder norms by model.</param>
    /// <param name="modelOffsets">[M + 1]; kept by the code, for what reads it.</param>
    /// <param name="byModel">[M]: rule and parameter of each model.</param>
    /// <param name="code">Written.</param>
    void EncodeSelectByModel(Matrix acts_BE, Matrix wEnc_LE, Matrix bEnc_L, Matrix norms_LM, int[] modelOffsets, ReadOnlySpan<Selection> byModel, SparseCode code);

    /// <summary>
    /// code_BL = ReLU(acts_BE · wEnc_LEᵀ + bEnc_L); <paramref name="sum_L"/> [1, L], when not null: its sums over the batch, in double, then rounded. Returns the number of active pairs.
    /// Rows of <paramref name="wEnc_LE"/> may be any subset of latents.
    /// </summary>
    long EncodeDense(Matrix acts_BE, Matrix wEnc_LE, Matrix bEnc_L, Matrix code_BL, Matrix? sum_L = null);

    /// <summary>
    /// Among the latents <paramref name="latents"/> (ascending) takes for each token the <paramref name="perToken"/> with the largest q = p·s, and keeps those
    /// with p &gt; 0 (spec 3.5, aux-k). Ties: the smaller index first.
    /// </summary>
    void SelectDead(Matrix acts_BE, Matrix wEnc_LE, Matrix bEnc_L, Matrix scale_L, ReadOnlySpan<int> latents, int perToken, SparseCode code);

    /// <summary>
    /// recon_b = Σ_j f_bj wDec_j + bDec over the active pairs, in a decoupled code over the models in which a pair is active; <paramref name="bDec_E"/> null leaves the bias out.
    /// </summary>
    void Decode(SparseCode code, Matrix wDec_LE, Matrix? bDec_E, Matrix recon_BE);

    /// <summary>recon_BE = code_BL · wDec_LE + bDec_E; the one sum over latents that a backend need not take by shard.</summary>
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
    /// dLoss/df_bj = ⟨grad_b, wDec_j⟩ + penalty·s_j into <see cref="SparseCode.PairGradient"/>, the product over the models in which the pair is active. Penalty is mu/B for L1, else 0.
    /// </summary>
    void CodeGradient(SparseCode code, Matrix grad_BE, Matrix wDec_LE, Matrix scale_L, float penalty);

    /// <summary>
    /// codeGrad_BL = grad_BE · wDec_LEᵀ + penalty·s, set to 0 where code_BL is not above 0; its sums over the batch, in double, then rounded, into <paramref name="sum_L"/> [1, L]:
    /// the gradient of bEnc.
    /// </summary>
    void CodeGradientDense(Matrix code_BL, Matrix grad_BE, Matrix wDec_LE, Matrix scale_L, float penalty, Matrix codeGrad_BL, Matrix sum_L);

    /// <summary>Σ_b rows of <paramref name="grad_BE"/> into <paramref name="sum_E"/> [1, E], in double, then rounded: the gradient of bDec.</summary>
    void ColumnSums(Matrix grad_BE, Matrix sum_E);

    /// <summary>
    /// sum_E −= Σ_j (Σ_terms Σ_b γ_bj) wEnc_j, in double, then rounded: what flows through the encoder into a bias that is subtracted from its input (spec 2.5).
    /// </summary>
    void CentreGradient(ReadOnlySpan<LatentTerm> terms, Matrix wEnc_LE, Matrix sum_E);

    /// <summary>target = (source − before)·factor + after, column by column; a null part is left out. Source and target may be one matrix.</summary>
    void Affine(Matrix source_BE, Matrix? before_E, Matrix? factor_E, Matrix? after_E, Matrix target_BE);

    /// <summary>
    /// Sum of squares of all gradients of wEnc, wDec and bEnc that <see cref="UpdateLatents"/> would apply before clipping, masks and projection included. Zero-gradient rows add nothing.
    /// </summary>
    /// <param name="terms">Sources of the gradients.</param>
    /// <param name="acts_BE">[B, E].</param>
    /// <param name="parameters">The latents.</param>
    /// <param name="keep">
    /// The next <see cref="UpdateLatents"/> will be given the same terms with nothing changed: what was summed for this may be used for that. Results are the same either way.
    /// </param>
    double GradientSquares(ReadOnlySpan<LatentTerm> terms, Matrix acts_BE, in LatentParameters parameters, bool keep = false);

    /// <summary>
    /// One visit per latent j. Gradients: gDec_j = Σ_terms Σ_b f_bj grad_b + Σ_m pull_jm · d_jm/‖d_jm‖ (0 at norm 0), gEnc_j = Σ_terms Σ_b γ_bj acts_b, gBias_j = Σ_terms Σ_b γ_bj;
    /// f_bj only of the models in which the pair is active; 0 in the columns of models that <see cref="LatentParameters.Masks"/> takes away. With <see cref="LatentParameters.UnitDecoder"/>
    /// gDec_j loses its part along n = d_j/(‖d_j‖ + 1e-6). Each times <see cref="AdamStep.Clip"/>; then Adam on the three; with a unit decoder d_j /= ‖d_j‖ + 2⁻²³; then the
    /// decoder norms by model and the code norm s are written anew.
    /// </summary>
    void UpdateLatents(ReadOnlySpan<LatentTerm> terms, Matrix acts_BE, in LatentParameters parameters, in AdamStep adam);

    /// <summary>As <see cref="GradientSquares"/>, for a dense code.</summary>
    double GradientSquaresDense(in DenseTerm term, Matrix acts_BE, in LatentParameters parameters);

    /// <summary>
    /// As <see cref="UpdateLatents"/>, for a dense code: gEnc_LE = codeGrad_BLᵀ · acts_BE,
    /// gDec_LE = code_BLᵀ · grad_BE + pull·d/‖d‖; neither is ever kept whole.
    /// </summary>
    void UpdateLatentsDense(in DenseTerm term, Matrix acts_BE, in LatentParameters parameters, in AdamStep adam);

    /// <summary>Sum of squares of a matrix, in double.</summary>
    double SumOfSquares(Matrix matrix);

    /// <summary>Adam on any matrix: m, v and w move in place.</summary>
    void UpdateDense(Matrix w, Matrix gradient, Matrix adamM, Matrix adamV, in AdamStep adam);

    /// <summary>Writes the decoder norms by model, and s for the given code norm, from wDec alone.</summary>
    void DecoderNorms(in LatentParameters parameters);

    /// <summary>Per latent, over the batch: sum of f, from the pairs, into <paramref name="sum_L"/> [1, L]. Terms of the L1 pull and of "fired in batch".</summary>
    void CodeSums(SparseCode code, Matrix sum_L);

    /// <summary>
    /// The gate of JumpReLU on a code of every pair that may matter: keeps p in <see cref="SparseCode.PairInput"/> and writes f = p where q = p·s &gt; θ_j, else 0, into
    /// <see cref="SparseCode.PairValue"/>. Until the next EncodeSelect the code holds pairs whose value is 0.
    /// </summary>
    void JumpGate(SparseCode code, Matrix scale_L, Matrix threshold_L);

    /// <summary>
    /// Back through the gate and the penalty of JumpReLU, for a gated code whose <see cref="SparseCode.PairGradient"/> holds g = dLoss/df without penalty (docs/method.md). With q = p·s, h = [q &gt; θ],
    /// κ = [|q - θ| &lt; ε/2]/ε, T = u·tanh(q/u) and a = g·p + λ·T: PairGradient becomes (g + λ·s·(1 - (T/u)²))·h + s·κ·a (dLoss/dp),
    /// gThreshold_j = -Σ_b κ·a and gScale_j = Σ_b λ·p·(1 - (T/u)²)·h + p·κ·a.
    /// </summary>
    /// <param name="code">Gated code.</param>
    /// <param name="scale_L">[1, L]: the code norm s.</param>
    /// <param name="threshold_L">[1, L]: θ.</param>
    /// <param name="jump">ε, u and λ.</param>
    /// <param name="gThreshold_L">Written: dLoss/dθ [1, L].</param>
    /// <param name="gScale_L">Written: dLoss/ds [1, L].</param>
    JumpSums JumpGradient(SparseCode code, Matrix scale_L, Matrix threshold_L, in JumpShape jump, Matrix gThreshold_L, Matrix gScale_L);
}

/// <summary>What one reconstruction adds to the losses, in double.</summary>
/// <param name="NormSum">Σ_b Σ_m ‖e_bm‖₂.</param>
/// <param name="SquareSum">Σ_b Σ_m ‖e_bm‖².</param>
public readonly record struct ResidualSums(double NormSum, double SquareSum);

/// <summary>What a gated code adds to the losses, in double.</summary>
/// <param name="Active">Pairs with f above 0.</param>
/// <param name="Penalty">Σ of u·tanh(q/u) over them.</param>
public readonly record struct JumpSums(long Active, double Penalty);

/// <summary>Constants of JumpReLU's gradient.</summary>
/// <param name="Bandwidth">ε, above 0: width of the rectangle kernel that stands for the derivative of the step, in units of q.</param>
/// <param name="Saturation">u, above 0: the q at which the penalty bends over, in units of q.</param>
/// <param name="Penalty">λ: weight of the penalty of one pair (mu/B).</param>
public readonly record struct JumpShape(double Bandwidth, double Saturation, double Penalty);

/// <summary>
/// The tensors of a crosscoder in training, with their Adam moments and norms. <c>Pull_LM</c>: dPenalty/d‖d_jm‖ where a penalty acts on decoder norms. <c>Masks</c>: which models a latent
/// reads and writes; null for all. <c>UnitDecoder</c>: decoder rows stay at length 1 (SAEs, spec 3.6).
/// </summary>
public readonly record struct LatentParameters(
    Matrix WEnc_LE, Matrix BEnc_L, Matrix WDec_LE,
    Matrix EncM_LE, Matrix EncV_LE, Matrix BiasM_L, Matrix BiasV_L, Matrix DecM_LE, Matrix DecV_LE,
    Matrix Norms_LM, Matrix Scale_L, int[] ModelOffsets, CodeNorm CodeNorm, Matrix? Pull_LM, LatentMasks? Masks = null, bool UnitDecoder = false);

/// <summary>One source of gradients for the latents: a code with its gradient, and dLoss/dRecon of the reconstruction it decodes into.</summary>
/// <param name="Code">The code.</param>
/// <param name="Grad_BE">dLoss/dRecon.</param>
/// <param name="Penalty">
/// Null: <see cref="SparseCode.PairGradient"/> has been written. Otherwise the op that is given the term writes it first, as <see cref="ICrosscoderKernels.CodeGradient"/> does with this penalty, in the same visit.
/// </param>
public readonly record struct LatentTerm(SparseCode Code, Matrix Grad_BE, float? Penalty = null);

/// <summary>The gradients' source where the code is a matrix: f and dLoss/df [B, L], the sums of the latter over the batch [1, L], and dLoss/dRecon [B, E].</summary>
public readonly record struct DenseTerm(Matrix Code_BL, Matrix CodeGrad_BL, Matrix BiasGrad_L, Matrix Grad_BE);

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
