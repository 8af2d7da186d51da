using Diffract.Compute.Buffers;

namespace Diffract.Compute.Kernels;

/// <summary>
/// The operations of a decoder-only language model. T rows are the tokens of one or more sequences laid end to end; activations are float32;
/// weights are float32 or bfloat16 (widened inside the product). Results do not depend on the number of threads, nor on which other sequences share the batch.
/// </summary>
public interface ITransformerKernels
{
    /// <summary>out_t = table[ids_t]·scale. Table [V, D] float32 or bfloat16.</summary>
    void Embed(ReadOnlySpan<int> ids, Matrix table_VD, float scale, Matrix out_TD);

    /// <summary>
    /// RMS norm: x/√(mean x² + ε)·(offset + w). Gemma: offset 1; Llama: offset 0. <paramref name="weight_D"/> is float32 [1, D]. In place when out is x.
    /// A weight [1, H] that goes into the columns several times norms every H of them by themselves (heads side by side).
    /// </summary>
    void RmsNorm(Matrix x_TD, Matrix weight_D, float offset, float epsilon, Matrix out_TD);

    /// <summary>y += x/√(mean x² + ε)·(offset + w): the norm after a sublayer, added to the residual stream.</summary>
    void AddRmsNorm(Matrix x_TD, Matrix weight_D, float offset, float epsilon, Matrix y_TD);

    /// <summary>Layer norm: (x - mean)/√(mean (x - mean)² + ε)·w + b. Weight and bias are float32 [1, D]. In place when out is x.</summary>
    void LayerNorm(Matrix x_TD, Matrix weight_D, Matrix bias_D, float epsilon, Matrix out_TD);

    /// <summary>y += x.</summary>
    void Add(Matrix x_TD, Matrix y_TD);

    /// <summary>y_t += bias, in every row. Bias is float32 [1, N].</summary>
    void AddBias(Matrix bias_N, Matrix y_TN);

    /// <summary>y = y ∘ x, element by element.</summary>
    void Multiply(Matrix x_TD, Matrix y_TD);

    /// <summary>x = activation(x), in place.</summary>
    void Activate(Matrix x_TD, Activation activation);

    /// <summary>y = x.</summary>
    void Copy(Matrix x_TD, Matrix y_TD);

    /// <summary>out_r = x[rows_r].</summary>
    void GatherRows(Matrix x_TD, ReadOnlySpan<int> rows, Matrix out_RD);

    /// <summary>out = x · wᵀ. Weight [N, K] float32 or bfloat16, as Hugging Face stores linear layers.</summary>
    void MatMul(Matrix x_TK, Matrix weight_NK, Matrix out_TN);

    /// <summary>
    /// Rotary positions, half-split pairs (i, i + R/2), in place: (a, b) becomes (a·cos - b·sin, b·cos + a·sin). Rows hold <c>Columns / headWidth</c> heads.
    /// Row p of <paramref name="cosSin_PR"/> holds the R/2 cosines of position p, then its R/2 sines. With R below H only the first R elements of a head turn, pairs (i, i + R/2);
    /// the others stay.
    /// </summary>
    void Rope(Matrix x_TD, int headWidth, ReadOnlySpan<int> positions, Matrix cosSin_PR);

    /// <summary>
    /// Causal attention with grouped heads. Scores q·k·scale, soft-capped cap·tanh(s/cap) when cap &gt; 0; a query at position p sees keys at positions
    /// p - window + 1 .. p (window 0: all). Sequence i's queries are rows sequences[i].QueryRow .. +Length-1 of q and out, its keys are rows KeyRow .. KeyRow+KeyLength-1
    /// of k and v; the last query belongs to the last key.
    /// </summary>
    void Attention(Matrix q_TD, Matrix k_SD, Matrix v_SD, ReadOnlySpan<SequenceSpan> sequences, in AttentionShape shape, Matrix out_TD);

    /// <summary>out = (activation(x · gateᵀ) ∘ (x · upᵀ)) · downᵀ. Gate and up are [F, D], down is [D, F]; float32 or bfloat16.</summary>
    void GatedMlp(Matrix x_TD, Matrix gate_FD, Matrix up_FD, Matrix down_DF, Activation activation, Matrix out_TD);

    /// <summary>x = cap·tanh(x/cap), in place.</summary>
    void SoftCap(Matrix x, float cap);

    /// <summary>
    /// Per row of logits (soft-capped already): log Σ exp, argmax (the smaller index on ties), and -log p(target) where targets[t] ≥ 0 (else NaN).
    /// </summary>
    void LogitStatistics(Matrix logits_TV, ReadOnlySpan<int> targets, Span<double> logSumExp_T, Span<int> argmax_T, Span<double> nll_T);

    /// <summary>KL(p ‖ q) per row, p and q the softmax of the two logit matrices, in double.</summary>
    void KlDivergence(Matrix p_TV, Matrix q_TV, Span<double> kl_T);
}

/// <summary>Where one sequence lies in the rows of a batch.</summary>
public readonly record struct SequenceSpan(int QueryRow, int Length, int KeyRow, int KeyLength);

/// <summary>Heads and options of one attention layer.</summary>
public readonly record struct AttentionShape(int Heads, int KeyValueHeads, int HeadWidth, float Scale, int Window, float SoftCap);

/// <summary>The non-linearity of an MLP.</summary>
public enum Activation
{
    /// <summary>x·½(1 + tanh(√(2/π)(x + 0.044715x³))).</summary>
    GeluTanh,

    /// <summary>x·sigmoid(x).</summary>
    Silu,

    /// <summary>x·Φ(x) = x·½(1 + erf(x/√2)).</summary>
    Gelu,
}
