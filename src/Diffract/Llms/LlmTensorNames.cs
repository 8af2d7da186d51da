namespace Diffract.Llms;

/// <summary>
/// What the tensors of a family are called: <see cref="Prefix"/> (which a file may leave out) and, inside a block, <see cref="Block"/>, then the name, then <c>.weight</c> or <c>.bias</c>.
/// Null for what the family does not have.
/// </summary>
public sealed record LlmTensorNames
{
    /// <summary>In front of all names but the head's; a file that was saved without the head may leave it out.</summary>
    public string Prefix { get; init; } = "model.";

    /// <summary>In front of the names of a block; {0} stands for its number.</summary>
    public string Block { get; init; } = "layers.{0}.";

    /// <summary>[V, D].</summary>
    public string Embedding { get; init; } = "embed_tokens";

    /// <summary>[positions, D]: what is learned for each position.</summary>
    public string? Positions { get; init; }

    /// <summary>[D].</summary>
    public string FinalNorm { get; init; } = "norm";

    /// <summary>[V, D], without the prefix; not read when the embeddings are tied.</summary>
    public string Head { get; init; } = "lm_head";

    /// <summary>Norm of the attention's input, or null: it reads the residual stream as it is.</summary>
    public string? AttentionNorm { get; init; } = "input_layernorm";

    /// <summary>[heads·H, D].</summary>
    public string Query { get; init; } = "self_attn.q_proj";

    /// <summary>[key-value heads·H, D].</summary>
    public string Key { get; init; } = "self_attn.k_proj";

    /// <summary>[key-value heads·H, D].</summary>
    public string Value { get; init; } = "self_attn.v_proj";

    /// <summary>Queries, keys and values in one tensor, where <see cref="QueryKeyValueLayout"/> says so.</summary>
    public string? QueryKeyValue { get; init; }

    /// <summary>Norm of the queries, by <see cref="QueryKeyNorm"/>.</summary>
    public string QueryNorm { get; init; } = "self_attn.q_norm";

    /// <summary>Norm of the keys, by <see cref="QueryKeyNorm"/>.</summary>
    public string KeyNorm { get; init; } = "self_attn.k_norm";

    /// <summary>[D, heads·H].</summary>
    public string Output { get; init; } = "self_attn.o_proj";

    /// <summary>Norm of the attention's output before it is added, or null.</summary>
    public string? PostAttentionNorm { get; init; }

    /// <summary>Norm of the MLP's input, or null: it reads the residual stream as it is.</summary>
    public string? MlpNorm { get; init; } = "post_attention_layernorm";

    /// <summary>[F, D]; null for a plain MLP.</summary>
    public string? Gate { get; init; } = "mlp.gate_proj";

    /// <summary>[F, D].</summary>
    public string Up { get; init; } = "mlp.up_proj";

    /// <summary>[2F, D]: gate, then up, where one tensor holds both; then <see cref="Gate"/> is null.</summary>
    public string? GateUp { get; init; }

    /// <summary>[D, F].</summary>
    public string Down { get; init; } = "mlp.down_proj";

    /// <summary>Norm of the MLP's output before it is added, or null.</summary>
    public string? PostMlpNorm { get; init; }
}
