namespace Diffract.Llms;

/// <summary>What a family's config.json calls things; null for what it does not have. The defaults are the names that most families share.</summary>
public sealed record LlmKeys
{
    /// <summary>D.</summary>
    public string Width { get; init; } = "hidden_size";

    /// <summary>F; null or absent where the family's default is 0: 4D.</summary>
    public string MlpWidth { get; init; } = "intermediate_size";

    public string Layers { get; init; } = "num_hidden_layers";

    public string Heads { get; init; } = "num_attention_heads";

    /// <summary>Null where every head has its own keys and values.</summary>
    public string? KeyValueHeads { get; init; } = "num_key_value_heads";

    /// <summary>H; null where it is always D over the number of heads.</summary>
    public string? HeadWidth { get; init; } = "head_dim";

    public string ContextLimit { get; init; } = "max_position_embeddings";

    public string NormEpsilon { get; init; } = "rms_norm_eps";

    /// <summary>The MLP's activation.</summary>
    public string Activation { get; init; } = "hidden_act";

    /// <summary>A second name of the activation, which wins over the first where it is set; the first's <c>gelu</c> then means the one with tanh.</summary>
    public string? NewerActivation { get; init; }

    /// <summary>Base of the rotary frequencies outside of <c>rope_parameters</c>; null without rotary positions.</summary>
    public string? RopeTheta { get; init; } = "rope_theta";

    /// <summary>The same for blocks with a window, where they have a table of their own.</summary>
    public string? LocalRopeTheta { get; init; }

    /// <summary>The share of each head that turns; its key inside <c>rope_parameters</c> is <c>partial_rotary_factor</c>.</summary>
    public string? PartialRotary { get; init; }

    /// <summary>Of <see cref="WindowRule.Pattern"/>, where it can be set; with an underscore in front in newer files.</summary>
    public string? SlidingPattern { get; init; }

    /// <summary>Attention scores are scaled by this number instead of the head width, to the power -½.</summary>
    public string? QueryScalar { get; init; }

    public string? AttentionSoftCap { get; init; }

    public string? FinalSoftCap { get; init; }

    /// <summary>Whether the attention's matrices have biases.</summary>
    public string? AttentionBias { get; init; }

    /// <summary>Whether the MLP's matrices have biases.</summary>
    public string? MlpBias { get; init; }

    /// <summary>Whether attention and MLP both read the block's input.</summary>
    public string? ParallelResidual { get; init; }

    /// <summary>Whether attention scores are scaled by H^-½ at all.</summary>
    public string? ScalesScores { get; init; }

    /// <summary>Whether scores of block i are divided by i + 1 too.</summary>
    public string? ScalesByLayer { get; init; }
}
