using Diffract.Compute.Kernels;
using Diffract.Formats;
using Diffract.Runs;

namespace Diffract.Llms;

/// <summary>
/// A checkpoint's config.json in our words. Both spellings are read: that of transformers 5 (<c>rope_parameters</c>, <c>layer_types</c>) and that of published
/// checkpoints (<c>rope_theta</c>, <c>rope_scaling</c>); an absent key takes the default of the family's configuration class.
/// </summary>
public sealed record LlmConfig
{
    /// <summary>Many times what any model has: more is a damaged file.</summary>
    const int MostLayers = 4096;

    /// <summary><c>model_type</c>.</summary>
    public string Family => Traits.Name;

    /// <summary>The family's names and switches.</summary>
    public required LlmFamily Traits { get; init; }

    /// <summary>D: width of the residual stream.</summary>
    public required int Width { get; init; }

    /// <summary>F: inner width of an MLP.</summary>
    public required int MlpWidth { get; init; }

    /// <summary>Number of blocks.</summary>
    public required int Layers { get; init; }

    /// <summary>V: number of token ids.</summary>
    public required int Vocabulary { get; init; }

    /// <summary>Query heads.</summary>
    public required int Heads { get; init; }

    /// <summary>Key and value heads; each serves Heads / KeyValueHeads query heads.</summary>
    public required int KeyValueHeads { get; init; }

    /// <summary>H: width of a head.</summary>
    public required int HeadWidth { get; init; }

    /// <summary>The longest sequence that the model was made for, in tokens.</summary>
    public required int ContextLimit { get; init; }

    /// <summary>ε of the norms.</summary>
    public required float NormEpsilon { get; init; }

    /// <summary>Base of the rotary frequencies.</summary>
    public required double RopeTheta { get; init; }

    public required Activation Activation { get; init; }

    /// <summary>Whether the head is the embedding table.</summary>
    public required bool TiesEmbeddings { get; init; }

    /// <summary>Factor of q·k.</summary>
    public required float AttentionScale { get; init; }

    /// <summary>Window of each block, in tokens, the query included; 0 attends in full.</summary>
    public required IReadOnlyList<int> Windows { get; init; }

    /// <summary>Cap of the attention scores; 0: none.</summary>
    public required float AttentionSoftCap { get; init; }

    /// <summary>Cap of the logits; 0: none.</summary>
    public required float FinalSoftCap { get; init; }

    public required int? BosId { get; init; }

    /// <summary>Ids at which generation may stop.</summary>
    public required IReadOnlyList<int> EndIds { get; init; }

    /// <summary>Reads <c>config.json</c> of a checkpoint folder; refuses families and options that are not computed, by the name of the field.</summary>
    public static LlmConfig Load(string folder)
    {
        using ConfigJson json = ConfigJson.Open(CheckpointFiles.Config(folder));
        string supported = string.Join(", ", LlmFamily.Supported.Keys.Order(StringComparer.Ordinal));
        string type = json.Text("model_type") ?? throw json.Refuse("model_type", "absent", $"one of {supported}");
        if (!LlmFamily.Supported.TryGetValue(type, out LlmFamily? family))
        {
            throw new DiffractException($"{json.Path}: model_type {type} is not supported yet; supported: {supported}");
        }

        foreach (string flag in (ReadOnlySpan<string>)["attention_bias", "use_bidirectional_attention"])
        {
            if (json.Flag(flag) == true)
            {
                throw json.Refuse(flag, "true", "false");
            }
        }

        if (json.Has("quantization_config"))
        {
            throw json.Refuse("quantization_config", "present", "weights in float32, bfloat16 or float16");
        }

        return Read(json, family);
    }

    static LlmConfig Read(ConfigJson json, LlmFamily family)
    {
        LlmDefaults absent = family.Defaults;
        int layers = json.Count("num_hidden_layers", absent.Layers);
        int heads = json.Count("num_attention_heads", absent.Heads);
        int keyValueHeads = json.Count("num_key_value_heads", absent.KeyValueHeads);
        int headWidth = json.Count("head_dim", absent.HeadWidth);
        if (layers > MostLayers)
        {
            throw json.Refuse("num_hidden_layers", $"{layers}", $"at most {MostLayers}");
        }

        if (heads % keyValueHeads != 0)
        {
            throw json.Refuse("num_key_value_heads", $"{keyValueHeads}", $"a divisor of num_attention_heads, {heads}");
        }

        if (headWidth % 2 != 0)
        {
            throw json.Refuse("head_dim", $"{headWidth}", "an even number, for the rotary pairs");
        }

        double scalar = family.ScalesByQueryScalar ? json.Positive("query_pre_attn_scalar", absent.QueryScalar) : headWidth;
        return new LlmConfig
        {
            Traits = family,
            Width = json.Count("hidden_size", absent.Width),
            MlpWidth = json.Count("intermediate_size", absent.MlpWidth),
            Layers = layers,
            Vocabulary = json.Count("vocab_size", absent.Vocabulary),
            Heads = heads,
            KeyValueHeads = keyValueHeads,
            HeadWidth = headWidth,
            ContextLimit = json.Count("max_position_embeddings", absent.ContextLimit),
            NormEpsilon = (float)json.Positive("rms_norm_eps", absent.NormEpsilon),
            RopeTheta = Theta(json, absent.RopeTheta),
            Activation = ReadActivation(json, family),
            TiesEmbeddings = json.Flag("tie_word_embeddings") ?? absent.TiesEmbeddings,
            AttentionScale = (float)(1 / Math.Sqrt(scalar)),
            Windows = ReadWindows(json, family, layers),
            AttentionSoftCap = json.Cap("attn_logit_softcapping", absent.AttentionSoftCap),
            FinalSoftCap = json.Cap("final_logit_softcapping", absent.FinalSoftCap),
            BosId = json.Present("bos_token_id") ? json.Ids("bos_token_id").Cast<int?>().FirstOrDefault() : absent.BosId,
            EndIds = json.Present("eos_token_id") ? json.Ids("eos_token_id") : absent.EndIds,
        };
    }

    static double Theta(ConfigJson json, double absent)
    {
        foreach (string field in (ReadOnlySpan<string>)["rope_parameters", "rope_scaling"])
        {
            if (json.Inner(field) is not { } rope)
            {
                continue;
            }

            using (rope)
            {
                string type = rope.Text("rope_type") ?? rope.Text("type") ?? "default";
                if (type != "default")
                {
                    throw json.Refuse($"{field}.rope_type", type, "default");
                }

                if (rope.FirstInner() is { } nested)
                {
                    throw json.Refuse($"{field}.{nested}", "an object", "one set of rotary parameters for all blocks");
                }

                absent = rope.Positive("rope_theta", absent);
            }
        }

        return json.Positive("rope_theta", absent);
    }

    static Activation ReadActivation(ConfigJson json, LlmFamily family) => json.Text(family.ActivationKey) switch
    {
        null => family.Defaults.Activation,
        "gelu_pytorch_tanh" or "gelu_new" => Activation.GeluTanh,
        "silu" or "swish" => Activation.Silu,
        { } other => throw json.Refuse(family.ActivationKey, other, "gelu_pytorch_tanh, gelu_new or silu"),
    };

    static int[] ReadWindows(ConfigJson json, LlmFamily family, int layers)
    {
        int window = json.Present("sliding_window") ? json.CountOrZero("sliding_window") : family.Defaults.SlidingWindow;
        int[] windows = new int[layers];
        if (json.Texts("layer_types") is { } types)
        {
            if (types.Count != layers)
            {
                throw json.Refuse("layer_types", $"{types.Count} entries", $"{layers}, as num_hidden_layers says");
            }

            for (int i = 0; i < layers; i++)
            {
                windows[i] = types[i] switch
                {
                    "sliding_attention" => window,
                    "full_attention" => 0,
                    _ => throw json.Refuse("layer_types", types[i], "sliding_attention or full_attention"),
                };
            }

            return windows;
        }

        for (int i = 0; i < layers; i++)
        {
            windows[i] = family.FullAttentionEvery > 0 && (i + 1) % family.FullAttentionEvery != 0 ? window : 0;
        }

        return windows;
    }
}
