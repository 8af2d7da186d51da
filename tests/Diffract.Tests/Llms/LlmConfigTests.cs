using System.Text.Json.Nodes;
using Diffract.Compute.Kernels;
using Diffract.Llms;
using Diffract.Runs;

namespace Diffract.Tests.Llms;

public sealed class LlmConfigTests
{
    [Fact]
    public void Absent_keys_take_the_defaults_of_the_family()
    {
        using TemporaryFolder folder = new();
        folder.File("config.json", """{"model_type": "gemma2"}""");
        LlmConfig config = LlmConfig.Load(folder.Path);
        Assert.Equal((2304, 9216, 26, 256_000, 8, 4, 256, 8192), (config.Width, config.MlpWidth, config.Layers, config.Vocabulary, config.Heads, config.KeyValueHeads, config.HeadWidth, config.ContextLimit));
        Assert.Equal((1e-6f, 10_000.0, 50f, 30f, 1 / 16f), (config.NormEpsilon, config.Rotary!.Theta, config.AttentionSoftCap, config.FinalSoftCap, config.AttentionScale));
        Assert.True(config.TiesEmbeddings);
        Assert.Equal(Activation.GeluTanh, config.Activation);
        Assert.Equal(Enumerable.Range(0, 26).Select(i => i % 2 == 0 ? 4096 : 0), config.Windows);
        Assert.Equal(2, config.BosId);
        Assert.Equal([1], config.EndIds);
    }

    [Fact]
    public void Both_spellings_say_the_same()
    {
        using TinyCheckpoint newer = new(), older = new("config_v4.json");
        older.Config["eos_token_id"] = 1;
        LlmConfig a = LlmConfig.Load(newer.Save()), b = LlmConfig.Load(older.Save());
        int[] none = [];
        Assert.Equal(a with { Windows = none, EndIds = none }, b with { Windows = none, EndIds = none });
        Assert.Equal(a.Windows, b.Windows);
        Assert.Equal(a.EndIds, b.EndIds);
    }

    [Fact]
    public void Nulls_switch_caps_and_windows_off()
    {
        using TinyCheckpoint tiny = new();
        (tiny.Config["attn_logit_softcapping"], tiny.Config["final_logit_softcapping"], tiny.Config["sliding_window"], tiny.Config["bos_token_id"]) = (null, null, null, null);
        tiny.Config["eos_token_id"] = new JsonArray(1, 107);
        LlmConfig config = LlmConfig.Load(tiny.Save());
        Assert.Equal((0f, 0f, (int?)null), (config.AttentionSoftCap, config.FinalSoftCap, config.BosId));
        Assert.All(config.Windows, w => Assert.Equal(0, w));
        Assert.Equal([1, 107], config.EndIds);
    }

    [Fact]
    public void Older_rotary_scaling_of_type_default_is_none()
    {
        using TinyCheckpoint tiny = new("config_v4.json");
        tiny.Config["rope_theta"] = 5000.0;
        tiny.Config["rope_scaling"] = new JsonObject { ["type"] = "default" };
        Assert.Equal(5000, LlmConfig.Load(tiny.Save()).Rotary!.Theta);
    }

    [Theory]
    [InlineData("model_type", "\"mixtral\"", "model_type mixtral is not supported; supported: gemma, gemma2, gemma3_text, gpt2, gpt_neox, llama, mistral, olmo2, phi3, qwen2, qwen3")]
    [InlineData("model_type", "null", "model_type is absent, wanted one of gemma, gemma2")]
    [InlineData("text_config", """{"hidden_size": 64}""", "text_config is present, wanted the text model's own config.json")]
    [InlineData("rope_parameters", """{"rope_type": "proportional"}""", "rope_parameters.rope_type is proportional, wanted default, linear, llama3, yarn, longrope, dynamic")]
    [InlineData("rope_scaling", """{"type": "su", "short_factor": [1]}""", "rope_scaling.type is su, wanted default, linear, llama3")]
    [InlineData("rope_scaling", """{"type": "longrope", "short_factor": [1]}""", "rope_scaling.long_factor is absent, wanted a list of")]
    [InlineData("rope_scaling", """{"type": "longrope", "long_factor": [1]}""", "rope_scaling.long_factor is 1 numbers, wanted")]
    [InlineData("rope_scaling", """{"type": "longrope", "long_factor": [1, -1]}""", "rope_scaling.long_factor is [1,-1], wanted a list of positive numbers")]
    [InlineData("rope_scaling", """{"type": "longrope", "factor": 3, "original_max_position_embeddings": 64}""", "rope_scaling.factor is 3, wanted ")]
    [InlineData("rope_scaling", """{"rope_type": "yarn"}""", "rope_scaling.factor is absent, wanted a positive number")]
    [InlineData("rope_scaling", """{"rope_type": "yarn", "factor": 4, "beta_fast": 1, "beta_slow": 32, "truncate": false}""", "rope_scaling.beta_slow is 32, wanted fewer turns than beta_fast, 1")]
    [InlineData("rope_scaling", """{"rope_type": "dynamic"}""", "rope_scaling.factor is absent, wanted a positive number")]
    [InlineData("rope_scaling", """{"type": "linear"}""", "rope_scaling.factor is absent, wanted a positive number")]
    [InlineData("rope_scaling", """{"rope_type": "llama3", "factor": 8, "low_freq_factor": 4, "high_freq_factor": 4}""", "rope_scaling.high_freq_factor is 4, wanted more than low_freq_factor, 4")]
    [InlineData("rope_parameters", """{"full_attention": {"rope_theta": 1}}""", "rope_parameters.full_attention is an object")]
    [InlineData("rope_parameters", """{"partial_rotary_factor": 0.5}""", "rope_parameters.partial_rotary_factor is 0.5, wanted 1")]
    [InlineData("partial_rotary_factor", "0.5", "partial_rotary_factor is 0.5, wanted false or absent: the family gemma2")]
    [InlineData("hidden_activation", "\"relu\"", "hidden_activation is relu")]
    [InlineData("norm_type", "\"layer_norm\"", "norm_type is \"layer_norm\", wanted false or absent")]
    [InlineData("qk_layernorm", "true", "qk_layernorm is true, wanted false or absent")]
    [InlineData("mlp_bias", "true", "mlp_bias is true, wanted false or absent")]
    [InlineData("add_cross_attention", "true", "add_cross_attention is true")]
    [InlineData("is_encoder_decoder", "true", "is_encoder_decoder is true")]
    [InlineData("scale_attn_by_inverse_layer_idx", "true", "scale_attn_by_inverse_layer_idx is true")]
    [InlineData("hidden_size", "-3", "hidden_size is -3, wanted a positive integer")]
    [InlineData("hidden_size", "99999999", "hidden_size is 99999999, wanted at most 16777216")]
    [InlineData("num_hidden_layers", "5000", "num_hidden_layers is 5000, wanted at most 4096")]
    [InlineData("head_dim", "8388608", "num_attention_heads is 4, wanted at most 2 heads of width 8388608")]
    [InlineData("hidden_size", "\"64\"", "hidden_size is \"64\", wanted a positive integer")]
    [InlineData("num_key_value_heads", "3", "num_key_value_heads is 3, wanted a divisor of num_attention_heads, 4")]
    [InlineData("head_dim", "25", "head_dim is 25, wanted an even number")]
    [InlineData("layer_types", """["full_attention"]""", "layer_types is 1 entries, wanted 4")]
    [InlineData("layer_types", """["full_attention", "chunked_attention", "full_attention", "full_attention"]""", "layer_types is chunked_attention")]
    [InlineData("use_bidirectional_attention", "true", "use_bidirectional_attention is true")]
    [InlineData("use_bidirectional_attention", "\"all\"", "use_bidirectional_attention is \"all\"")]
    [InlineData("quantization_config", "{}", "quantization_config is present")]
    [InlineData("eos_token_id", "[1, -2]", "eos_token_id is [1,-2]")]
    [InlineData("rms_norm_eps", "0", "rms_norm_eps is 0, wanted a positive number")]
    public void What_is_not_computed_is_refused_by_its_field(string field, string value, string message)
    {
        using TinyCheckpoint tiny = new();
        tiny.Config[field] = JsonNode.Parse(value);
        DiffractException e = Assert.Throws<DiffractException>(() => LlmConfig.Load(tiny.Save()));
        Assert.Contains(message, e.Message.Replace(", -", ",-", StringComparison.Ordinal), StringComparison.Ordinal);
        Assert.Contains("config.json", e.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("llama", "attn_logit_softcapping", "30", "attn_logit_softcapping is 30, wanted false or absent: the family llama")]
    [InlineData("llama", "sliding_window", "16", "sliding_window is 16, wanted null: blocks of the family llama attend in full")]
    [InlineData("llama", "layer_types", """["full_attention", "sliding_attention", "full_attention", "full_attention"]""", "layer_types is not full_attention everywhere")]
    [InlineData("mistral", "layer_types", """["full_attention", "sliding_attention", "full_attention", "full_attention"]""", "layer_types is not sliding_attention everywhere")]
    [InlineData("mistral", "attention_bias", "true", "attention_bias is true, wanted false or absent: the family mistral")]
    [InlineData("llama", "head_dim", "null", null)]
    [InlineData("llama", "num_attention_heads", "5", "num_key_value_heads is 4, wanted a divisor of num_attention_heads, 5")]
    [InlineData("phi3", "num_attention_heads", "6", "num_attention_heads is 6, wanted a divisor of hidden_size, 64")]
    [InlineData("gpt_neox", "rope_parameters", """{"partial_rotary_factor": 0.2}""", "rope_parameters.partial_rotary_factor is 0.2, wanted a share of the head's width, 16, that gives an even number")]
    [InlineData("gpt_neox", "rope_parameters", """{"rope_theta": 10000, "partial_rotary_factor": 1.5}""", "rope_parameters.partial_rotary_factor is 1.5")]
    [InlineData("gpt2", "activation_function", "\"quick_gelu\"", "activation_function is quick_gelu, wanted one of gelu, gelu_new")]
    [InlineData("gpt2", "add_cross_attention", "true", "add_cross_attention is true")]
    [InlineData("gemma3", "rope_parameters", """{"full_attention": {"rope_type": "yarn"}}""", "rope_parameters.full_attention.factor is absent")]
    [InlineData("gemma3", "use_bidirectional_attention", "true", "use_bidirectional_attention is true")]
    [InlineData("qwen2", "layer_types", """["linear_attention", "full_attention", "full_attention", "full_attention"]""", "layer_types is linear_attention")]
    public void Each_family_refuses_what_it_does_not_compute(string family, string field, string value, string? message)
    {
        using TinyCheckpoint tiny = new(family: family);
        tiny.Config[field] = JsonNode.Parse(value);
        if (message is null)
        {
            Assert.Equal(16, LlmConfig.Load(tiny.Save()).HeadWidth);
            return;
        }

        Assert.Contains(message, Assert.Throws<DiffractException>(() => LlmConfig.Load(tiny.Save())).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Windows_follow_the_rule_of_each_family()
    {
        Assert.Equal([16, 16, 16, 16, 16, 0, 16], Windows("gemma3", "config_v4.json", _ => { }));
        Assert.Equal([16, 0, 16, 0, 16, 0, 16], Windows("gemma3", "config_v4.json", c => c["sliding_window_pattern"] = 2));
        Assert.Equal([16, 16, 16, 16], Windows("mistral", "config.json", _ => { }));
        Assert.Equal([0, 0, 0, 0], Windows("mistral", "config.json", c => c["sliding_window"] = null));
        Assert.Equal([0, 0, 0, 0], Windows("qwen2", "config_v4.json", c => c["sliding_window"] = 8));
        Assert.Equal([0, 0, 0, 8], Windows("qwen2", "config_v4.json", c => (c["sliding_window"], c["use_sliding_window"], c["max_window_layers"]) = (8, true, 3)));
        Assert.Equal([8, 8, 8, 8], Windows("qwen3", "config_v4.json", c => (c["sliding_window"], c["use_sliding_window"], c["max_window_layers"]) = (8, true, 0)));
        Assert.Equal([0, 0, 0, 0], Windows("phi3", "config.json", _ => { }));
        Assert.Equal([9, 9, 9, 9], Windows("phi3", "config.json", c => c["sliding_window"] = 9));

        static IReadOnlyList<int> Windows(string family, string config, Action<JsonObject> change)
        {
            using TinyCheckpoint tiny = new(config, family);
            change(tiny.Config);
            return LlmConfig.Load(tiny.Save()).Windows;
        }
    }

    [Fact]
    public void Gemma_1_means_its_tanh_by_the_older_name_of_gelu()
    {
        using TinyCheckpoint tiny = new(family: "gemma");
        tiny.Config["hidden_act"] = "gelu";
        Assert.Equal(Activation.GeluTanh, LlmConfig.Load(tiny.Save()).Activation);
        tiny.Config["hidden_activation"] = "gelu";
        Assert.Equal(Activation.Gelu, LlmConfig.Load(tiny.Save()).Activation);
    }

    /// <summary>Llama 3.1's own numbers; wave lengths 2π·500000^(2i/128) against 8192 (left alone below 2048, divided by 8 above 8192).</summary>
    [Fact]
    public void Llama_3_scaling_by_hand()
    {
        Rotary plain = new(128, 500_000), scaled = plain with { Scaling = new RotaryScaling.Llama3(8, 1, 4, 8192) };
        float[] before = plain.Frequencies(), after = scaled.Frequencies();
        // i = 0: wave 6.28. i = 63: wave 2π·500000^(126/128) = 2.6 million. i = 30: wave 2π·500000^(60/128) = 2949, between.
        Assert.Equal(before[0], after[0]);
        Assert.Equal(before[63] / 8, after[63]);
        double wave = 2 * Math.PI * Math.Pow(500_000, 60 / 128.0), smooth = (8192 / wave - 1) / 3;
        Assert.Equal((1 - smooth) / 8 + smooth, after[30] / before[30], 1e-5);
        Assert.Equal([0.5f, 0.005f], new Rotary(4, 10_000, new RotaryScaling.Linear(2)).Frequencies());
    }

    [Theory]
    [InlineData("{", "is not valid JSON")]
    [InlineData("[]", "is not a JSON object")]
    public void A_malformed_configuration_is_refused(string text, string message)
    {
        using TemporaryFolder folder = new();
        folder.File("config.json", text);
        Assert.Contains(message, Assert.Throws<DiffractException>(() => LlmConfig.Load(folder.Path)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_missing_folder_and_a_missing_configuration_are_told_apart()
    {
        using TemporaryFolder folder = new();
        Assert.Contains("is not a folder", Assert.Throws<DiffractException>(() => LlmConfig.Load(Path.Combine(folder.Path, "none"))).Message, StringComparison.Ordinal);
        Assert.Contains("has no config.json", Assert.Throws<DiffractException>(() => LlmConfig.Load(folder.Path)).Message, StringComparison.Ordinal);
    }
}
