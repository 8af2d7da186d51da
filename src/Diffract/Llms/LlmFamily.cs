using Diffract.Compute.Kernels;

namespace Diffract.Llms;

/// <summary>
/// A family of checkpoints as data: where its tensors are, which switches of the one forward pass it sets, and what its configuration class assumes for keys that are absent.
/// </summary>
public sealed record LlmFamily
{
    /// <summary><c>model_type</c> in config.json.</summary>
    public required string Name { get; init; }

    /// <summary>Tensor names; {0} stands for the number of the block.</summary>
    public required LlmTensorNames Tensors { get; init; }

    /// <summary>Values for keys that config.json leaves out.</summary>
    public required LlmDefaults Defaults { get; init; }

    /// <summary>Added to every norm weight: 1 where the checkpoint stores the weight minus one.</summary>
    public float NormOffset { get; init; }

    /// <summary>Whether embeddings are multiplied by √D, rounded to float32.</summary>
    public bool ScalesEmbeddings { get; init; }

    /// <summary>The key that names the MLP's activation.</summary>
    public required string ActivationKey { get; init; }

    /// <summary>Without <c>layer_types</c>, every so-manieth block attends in full and the others slide; 0: all attend in full.</summary>
    public int FullAttentionEvery { get; init; }

    /// <summary>Whether attention scores are scaled by <c>query_pre_attn_scalar</c> instead of the head width, to the power -½.</summary>
    public bool ScalesByQueryScalar { get; init; }

    /// <summary>Every family that is read, by name.</summary>
    public static IReadOnlyDictionary<string, LlmFamily> Supported { get; } = new[] { Gemma2() }.ToDictionary(f => f.Name, StringComparer.Ordinal);

    static LlmFamily Gemma2() => new()
    {
        Name = "gemma2",
        NormOffset = 1,
        ScalesEmbeddings = true,
        ScalesByQueryScalar = true,
        ActivationKey = "hidden_activation",
        FullAttentionEvery = 2,
        Tensors = new LlmTensorNames
        {
            Embedding = "model.embed_tokens.weight",
            FinalNorm = "model.norm.weight",
            Head = "lm_head.weight",
            AttentionNorm = "model.layers.{0}.input_layernorm.weight",
            Query = "model.layers.{0}.self_attn.q_proj.weight",
            Key = "model.layers.{0}.self_attn.k_proj.weight",
            Value = "model.layers.{0}.self_attn.v_proj.weight",
            Output = "model.layers.{0}.self_attn.o_proj.weight",
            PostAttentionNorm = "model.layers.{0}.post_attention_layernorm.weight",
            MlpNorm = "model.layers.{0}.pre_feedforward_layernorm.weight",
            Gate = "model.layers.{0}.mlp.gate_proj.weight",
            Up = "model.layers.{0}.mlp.up_proj.weight",
            Down = "model.layers.{0}.mlp.down_proj.weight",
            PostMlpNorm = "model.layers.{0}.post_feedforward_layernorm.weight",
        },
        Defaults = new LlmDefaults
        {
            Vocabulary = 256_000,
            Width = 2304,
            MlpWidth = 9216,
            Layers = 26,
            Heads = 8,
            KeyValueHeads = 4,
            HeadWidth = 256,
            ContextLimit = 8192,
            NormEpsilon = 1e-6f,
            RopeTheta = 10_000,
            Activation = Activation.GeluTanh,
            TiesEmbeddings = true,
            QueryScalar = 256,
            SlidingWindow = 4096,
            AttentionSoftCap = 50,
            FinalSoftCap = 30,
            BosId = 2,
            EndIds = [1],
        },
    };
}

/// <summary>What the tensors of a family are called; {0} stands for the number of the block, null for a tensor that the family does not have.</summary>
public sealed record LlmTensorNames
{
    /// <summary>[V, D].</summary>
    public required string Embedding { get; init; }

    /// <summary>[D].</summary>
    public required string FinalNorm { get; init; }

    /// <summary>[V, D]; not read when the embeddings are tied.</summary>
    public required string Head { get; init; }

    public required string AttentionNorm { get; init; }

    /// <summary>[heads·H, D].</summary>
    public required string Query { get; init; }

    /// <summary>[key-value heads·H, D].</summary>
    public required string Key { get; init; }

    /// <summary>[key-value heads·H, D].</summary>
    public required string Value { get; init; }

    /// <summary>[D, heads·H].</summary>
    public required string Output { get; init; }

    /// <summary>Norm of the attention's output before it is added, or null.</summary>
    public string? PostAttentionNorm { get; init; }

    public required string MlpNorm { get; init; }

    /// <summary>[F, D].</summary>
    public required string Gate { get; init; }

    /// <summary>[F, D].</summary>
    public required string Up { get; init; }

    /// <summary>[D, F].</summary>
    public required string Down { get; init; }

    /// <summary>Norm of the MLP's output before it is added, or null.</summary>
    public string? PostMlpNorm { get; init; }
}

/// <summary>What the family's configuration class takes for keys that config.json leaves out; names as in <see cref="LlmConfig"/>.</summary>
public sealed record LlmDefaults
{
    public required int Vocabulary { get; init; }

    public required int Width { get; init; }

    public required int MlpWidth { get; init; }

    public required int Layers { get; init; }

    public required int Heads { get; init; }

    public required int KeyValueHeads { get; init; }

    public required int HeadWidth { get; init; }

    public required int ContextLimit { get; init; }

    public required float NormEpsilon { get; init; }

    public required double RopeTheta { get; init; }

    public required Activation Activation { get; init; }

    public required bool TiesEmbeddings { get; init; }

    public double QueryScalar { get; init; }

    public int SlidingWindow { get; init; }

    public float AttentionSoftCap { get; init; }

    public float FinalSoftCap { get; init; }

    public int? BosId { get; init; }

    public IReadOnlyList<int> EndIds { get; init; } = [];
}
