using Diffract.Compute.Kernels;

namespace Diffract.Llms;

/// <summary>The families, one after the other: names, switches, and the defaults of their configuration classes in transformers.</summary>
static class LlmFamilies
{
    /// <summary>Norms on both sides of attention and MLP.</summary>
    static readonly LlmTensorNames BothSides = new()
    {
        PostAttentionNorm = "post_attention_layernorm",
        MlpNorm = "pre_feedforward_layernorm",
        PostMlpNorm = "post_feedforward_layernorm",
    };

    public static IEnumerable<LlmFamily> All => [Gemma(), Gemma2(), Gemma3(), Llama(), Mistral(), Qwen2(), Qwen3(), Olmo2(), Phi3(), GptNeoX(), Gpt2()];

    static LlmFamily Gemma() => new()
    {
        Name = "gemma",
        Title = "Gemma 1",
        NormOffset = 1,
        ScalesEmbeddings = true,
        QueryKeyValueBias = BiasRule.ByKey,
        OutputBias = BiasRule.ByKey,
        Tensors = new LlmTensorNames(),
        Keys = new LlmKeys
        {
            NewerActivation = "hidden_activation",
            AttentionBias = "attention_bias",
        },
        Defaults = new LlmDefaults
        {
            Vocabulary = 256_000,
            Width = 3072,
            MlpWidth = 24_576,
            Layers = 28,
            Heads = 16,
            KeyValueHeads = 16,
            HeadWidth = 256,
            ContextLimit = 8192,
            NormEpsilon = 1e-6f,
            Activation = Activation.GeluTanh,
            TiesEmbeddings = true,
            BosId = 2,
            EndIds = [1],
        },
    };

    static LlmFamily Gemma2() => new()
    {
        Name = "gemma2",
        Title = "Gemma 2",
        NormOffset = 1,
        ScalesEmbeddings = true,
        QueryKeyValueBias = BiasRule.ByKey,
        OutputBias = BiasRule.ByKey,
        Windows = WindowRule.Pattern,
        Tensors = BothSides,
        Keys = new LlmKeys
        {
            Activation = "hidden_activation",
            AttentionBias = "attention_bias",
            QueryScalar = "query_pre_attn_scalar",
            AttentionSoftCap = "attn_logit_softcapping",
            FinalSoftCap = "final_logit_softcapping",
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
            Activation = Activation.GeluTanh,
            TiesEmbeddings = true,
            QueryScalar = 256,
            SlidingWindow = 4096,
            SlidingPattern = 2,
            AttentionSoftCap = 50,
            FinalSoftCap = 30,
            BosId = 2,
            EndIds = [1],
        },
    };

    static LlmFamily Gemma3() => Gemma2() with
    {
        Name = "gemma3_text",
        Title = "Gemma 3 (text)",
        QueryKeyNorm = QueryKeyNorm.Head,
        Keys = Gemma2().Keys with { LocalRopeTheta = "rope_local_base_freq", SlidingPattern = "sliding_window_pattern" },
        Defaults = Gemma2().Defaults with
        {
            Vocabulary = 262_208,
            ContextLimit = 131_072,
            RopeTheta = 1_000_000,
            SlidingPattern = 6,
            AttentionSoftCap = 0,
            FinalSoftCap = 0,
        },
    };

    static LlmFamily Llama() => new()
    {
        Name = "llama",
        Title = "Llama 2, 3, 3.1, 3.2, 3.3",
        QueryKeyValueBias = BiasRule.ByKey,
        OutputBias = BiasRule.ByKey,
        MlpBias = BiasRule.ByKey,
        Tensors = new LlmTensorNames(),
        Keys = new LlmKeys
        {
            AttentionBias = "attention_bias",
            MlpBias = "mlp_bias",
        },
        Defaults = new LlmDefaults
        {
            Vocabulary = 32_000,
            Width = 4096,
            MlpWidth = 11_008,
            Layers = 32,
            Heads = 32,
            ContextLimit = 2048,
            NormEpsilon = 1e-6f,
            Activation = Activation.Silu,
            BosId = 1,
            EndIds = [2],
        },
    };

    static LlmFamily Mistral() => new()
    {
        Name = "mistral",
        Title = "Mistral 7B",
        Windows = WindowRule.All,
        Tensors = new LlmTensorNames(),
        Defaults = new LlmDefaults
        {
            Vocabulary = 32_000,
            Width = 4096,
            MlpWidth = 14_336,
            Layers = 32,
            Heads = 32,
            KeyValueHeads = 8,
            ContextLimit = 131_072,
            NormEpsilon = 1e-6f,
            Activation = Activation.Silu,
            SlidingWindow = 4096,
            BosId = 1,
            EndIds = [2],
        },
    };

    static LlmFamily Qwen2() => new()
    {
        Name = "qwen2",
        Title = "Qwen 2, 2.5",
        QueryKeyValueBias = BiasRule.Always,
        Windows = WindowRule.Upper,
        Tensors = new LlmTensorNames(),
        Defaults = new LlmDefaults
        {
            Vocabulary = 151_936,
            Width = 4096,
            MlpWidth = 22_016,
            Layers = 32,
            Heads = 32,
            KeyValueHeads = 32,
            ContextLimit = 32_768,
            NormEpsilon = 1e-6f,
            Activation = Activation.Silu,
            SlidingWindow = 4096,
            MaxWindowLayers = 28,
        },
    };

    static LlmFamily Qwen3() => Qwen2() with
    {
        Name = "qwen3",
        Title = "Qwen 3",
        QueryKeyNorm = QueryKeyNorm.Head,
        QueryKeyValueBias = BiasRule.ByKey,
        OutputBias = BiasRule.ByKey,
        Keys = new LlmKeys
        {
            AttentionBias = "attention_bias",
        },
        Defaults = Qwen2().Defaults with { HeadWidth = 128 },
    };

    static LlmFamily Olmo2() => new()
    {
        Name = "olmo2",
        Title = "OLMo 2",
        QueryKeyNorm = QueryKeyNorm.Projection,
        QueryKeyValueBias = BiasRule.ByKey,
        OutputBias = BiasRule.ByKey,
        Tensors = BothSides with { AttentionNorm = null, MlpNorm = null },
        Keys = new LlmKeys
        {
            AttentionBias = "attention_bias",
        },
        Defaults = new LlmDefaults
        {
            Vocabulary = 50_304,
            Width = 4096,
            MlpWidth = 11_008,
            Layers = 32,
            Heads = 32,
            ContextLimit = 2048,
            NormEpsilon = 1e-5f,
            Activation = Activation.Silu,
            EndIds = [50_279],
        },
    };

    static LlmFamily Phi3() => new()
    {
        Name = "phi3",
        Title = "Phi-3, Phi-4 mini",
        OlderLongRopeNames = ["su", "yarn"],
        Windows = WindowRule.All,
        QueryKeyValueLayout = QueryKeyValueLayout.Stacked,
        Tensors = new LlmTensorNames
        {
            QueryKeyValue = "self_attn.qkv_proj",
            Gate = null,
            GateUp = "mlp.gate_up_proj",
        },
        Keys = new LlmKeys
        {
            PartialRotary = "partial_rotary_factor",
        },
        Defaults = new LlmDefaults
        {
            Vocabulary = 32_064,
            Width = 3072,
            MlpWidth = 8192,
            Layers = 32,
            Heads = 32,
            ContextLimit = 4096,
            OldContext = 4096,
            NormEpsilon = 1e-5f,
            Activation = Activation.Silu,
            BosId = 1,
            EndIds = [32_000],
        },
    };

    static LlmFamily GptNeoX() => new()
    {
        Name = "gpt_neox",
        Title = "GPT-NeoX, Pythia",
        LayerNorms = true,
        QueryKeyValueLayout = QueryKeyValueLayout.ByHead,
        QueryKeyValueBias = BiasRule.ByKey,
        OutputBias = BiasRule.ByKey,
        MlpBias = BiasRule.Always,
        Tensors = new LlmTensorNames
        {
            Prefix = "gpt_neox.",
            Embedding = "embed_in",
            FinalNorm = "final_layer_norm",
            Head = "embed_out",
            QueryKeyValue = "attention.query_key_value",
            Output = "attention.dense",
            Gate = null,
            Up = "mlp.dense_h_to_4h",
            Down = "mlp.dense_4h_to_h",
        },
        Keys = new LlmKeys
        {
            KeyValueHeads = null,
            HeadWidth = null,
            NormEpsilon = "layer_norm_eps",
            RopeTheta = "rotary_emb_base",
            PartialRotary = "rotary_pct",
            AttentionBias = "attention_bias",
            ParallelResidual = "use_parallel_residual",
        },
        Defaults = new LlmDefaults
        {
            Vocabulary = 50_432,
            Width = 6144,
            MlpWidth = 24_576,
            Layers = 44,
            Heads = 64,
            ContextLimit = 2048,
            NormEpsilon = 1e-5f,
            PartialRotary = 0.25,
            Activation = Activation.Gelu,
            AttentionBias = true,
            ParallelResidual = true,
            BosId = 0,
            EndIds = [2],
        },
    };

    static LlmFamily Gpt2() => new()
    {
        Name = "gpt2",
        Title = "GPT-2",
        LayerNorms = true,
        LearnsPositions = true,
        StoresTransposed = true,
        QueryKeyValueLayout = QueryKeyValueLayout.Stacked,
        QueryKeyValueBias = BiasRule.Always,
        OutputBias = BiasRule.Always,
        MlpBias = BiasRule.Always,
        Tensors = new LlmTensorNames
        {
            Prefix = "transformer.",
            Block = "h.{0}.",
            Embedding = "wte",
            Positions = "wpe",
            FinalNorm = "ln_f",
            AttentionNorm = "ln_1",
            QueryKeyValue = "attn.c_attn",
            Output = "attn.c_proj",
            MlpNorm = "ln_2",
            Gate = null,
            Up = "mlp.c_fc",
            Down = "mlp.c_proj",
        },
        Keys = new LlmKeys
        {
            Width = "n_embd",
            MlpWidth = "n_inner",
            Layers = "n_layer",
            Heads = "n_head",
            KeyValueHeads = null,
            HeadWidth = null,
            ContextLimit = "n_positions",
            NormEpsilon = "layer_norm_epsilon",
            Activation = "activation_function",
            RopeTheta = null,
            ScalesScores = "scale_attn_weights",
            ScalesByLayer = "scale_attn_by_inverse_layer_idx",
        },
        Defaults = new LlmDefaults
        {
            Vocabulary = 50_257,
            Width = 768,
            MlpWidth = 0,
            Layers = 12,
            Heads = 12,
            ContextLimit = 1024,
            NormEpsilon = 1e-5f,
            Activation = Activation.GeluTanh,
            TiesEmbeddings = true,
            BosId = 50_256,
            EndIds = [50_256],
        },
    };
}
