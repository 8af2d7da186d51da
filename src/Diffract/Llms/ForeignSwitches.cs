namespace Diffract.Llms;

/// <summary>
/// Keys of config.json that change what is computed, in some family or in one that is not read. Where a file sets one that its family does not have, the checkpoint is not what it says:
/// it is refused by that key, since running it without would give numbers of another model.
/// </summary>
static class ForeignSwitches
{
    /// <summary>Key, and a value that changes nothing besides null, false and 0.</summary>
    static readonly (string Key, string? Neutral)[] All =
    [
        ("use_bidirectional_attention", null), ("add_cross_attention", null), ("is_encoder_decoder", null), ("quantization_config", null),
        ("attention_bias", null), ("mlp_bias", null), ("qkv_bias", null), ("use_parallel_residual", null), ("parallel_attn", null),
        ("attn_logit_softcapping", null), ("final_logit_softcapping", null), ("clip_qkv", null), ("alibi", null),
        ("norm_type", null), ("layer_norm_type", null), ("normalization_type", null), ("use_qk_norm", null), ("qk_norm", null), ("qk_layernorm", null),
        ("partial_rotary_factor", "1"), ("rotary_pct", "1"), ("rope_local_base_freq", null), ("query_pre_attn_scalar", null), ("scale_attn_by_inverse_layer_idx", null),
        ("logit_scale", "1"), ("logits_scaling", "1"), ("embedding_multiplier", "1"), ("residual_multiplier", "1"), ("attention_multiplier", null),
        ("num_experts", null), ("num_local_experts", null),
    ];

    /// <summary>Refuses what the family does not read; to be asked when everything has been read.</summary>
    public static void Refuse(ConfigJson json, LlmFamily family, IReadOnlyList<int> windows)
    {
        HashSet<string> read = [.. json.Asked];
        foreach ((string key, string? neutral) in All)
        {
            if (!read.Contains(key) && json.Switched(key, neutral) is { } value)
            {
                throw json.Refuse(key, key == "quantization_config" ? "present" : value, Wanted(key, family));
            }
        }

        bool windowed = windows.Any(w => w > 0);
        if (!read.Contains("sliding_window") && json.Switched("sliding_window") is { } window && json.Flag("use_sliding_window") != false)
        {
            throw json.Refuse("sliding_window", window, $"null: blocks of the family {family.Name} attend in full");
        }

        // A list that says what is done anyway is no harm.
        if (!read.Contains("layer_types") && WindowReader.Listed(json, windows.Count, 1) is { } listed && listed.Any(w => w > 0 != windowed))
        {
            throw json.Refuse("layer_types", windowed ? "not sliding_attention everywhere" : "not full_attention everywhere", $"one kind of attention: the family {family.Name} has no other");
        }
    }

    static string Wanted(string key, LlmFamily family) => key == "quantization_config"
        ? "weights in float32, bfloat16 or float16"
        : $"false or absent: the family {family.Name} is computed without it";
}
