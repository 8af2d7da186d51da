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
        Assert.Equal((1e-6f, 10_000.0, 50f, 30f, 1 / 16f), (config.NormEpsilon, config.RopeTheta, config.AttentionSoftCap, config.FinalSoftCap, config.AttentionScale));
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
        Assert.Equal(5000, LlmConfig.Load(tiny.Save()).RopeTheta);
    }

    [Theory]
    [InlineData("model_type", "\"llama\"", "llama is not supported yet; supported: gemma2")]
    [InlineData("model_type", "null", "model_type is absent, wanted one of gemma2")]
    [InlineData("rope_parameters", """{"rope_type": "yarn", "factor": 2}""", "rope_parameters.rope_type is yarn, wanted default")]
    [InlineData("rope_scaling", """{"type": "linear", "factor": 2}""", "rope_scaling.rope_type is linear, wanted default")]
    [InlineData("rope_parameters", """{"full_attention": {"rope_theta": 1}}""", "rope_parameters.full_attention is an object")]
    [InlineData("hidden_activation", "\"relu\"", "hidden_activation is relu")]
    [InlineData("hidden_size", "-3", "hidden_size is -3, wanted a positive integer")]
    [InlineData("hidden_size", "\"64\"", "hidden_size is \"64\", wanted a positive integer")]
    [InlineData("num_key_value_heads", "3", "num_key_value_heads is 3, wanted a divisor of num_attention_heads, 4")]
    [InlineData("head_dim", "25", "head_dim is 25, wanted an even number")]
    [InlineData("layer_types", """["full_attention"]""", "layer_types is 1 entries, wanted 4")]
    [InlineData("layer_types", """["full_attention", "chunked_attention", "full_attention", "full_attention"]""", "layer_types is chunked_attention")]
    [InlineData("attention_bias", "true", "attention_bias is true")]
    [InlineData("use_bidirectional_attention", "true", "use_bidirectional_attention is true")]
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
