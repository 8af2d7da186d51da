using System.Text.Json.Nodes;
using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Compute.Reference;
using Diffract.Llms;
using Diffract.Runs;

namespace Diffract.Tests.Llms;

/// <summary>Rotary scalings by their published formulas, worked out by hand, and what they do to a whole model where that can be said without another implementation.</summary>
public sealed class RotaryScalingTests
{
    // A base of 10,000 and eight turning elements: unscaled frequencies 1, 0.1, 0.01, 0.001.
    static readonly Rotary Plain = new(8, 10_000);

    [Fact]
    public void Yarn_leaves_fast_frequencies_divides_slow_ones_and_goes_linearly_between()
    {
        // Turns in 2,048 tokens: 32 at index 8·ln(2048/64π)/(2·ln 10,000) = 1.008, one at 2.513; whole numbers around them are 1 and 3.
        Assert.Equal(1.00800, RotaryScaling.Yarn.IndexOf(32, 8, 10_000, 2048), 1e-5);
        Assert.Equal(2.51315, RotaryScaling.Yarn.IndexOf(1, 8, 10_000, 2048), 1e-5);
        Rotary yarn = Read("qwen2", """{"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 2048}""");
        Equal([1, 0.1, 0.01 * (0.5 + 0.5 / 4), 0.001 / 4], yarn);
        Assert.Equal(0.1 * Math.Log(4) + 1, yarn.Scaling!.AttentionFactor, 1e-12);
        Assert.Equal(0, yarn.Scaling.LongestSequence);
    }

    [Fact]
    public void Yarn_without_whole_numbers_takes_the_indices_as_they_are()
    {
        double between = (2 - 1.00800) / (2.51315 - 1.00800);
        Equal([1, 0.1, 0.01 * (1 - between + between / 4), 0.001 / 4], Read("qwen2", """{"type": "yarn", "factor": 4, "original_max_position_embeddings": 2048, "truncate": false}"""), 1e-5);
    }

    [Theory]
    [InlineData("\"attention_factor\": 1.5", 1.5)]
    [InlineData("\"mscale\": 2", 1.138629)]
    [InlineData("\"mscale\": 2, \"mscale_all_dim\": 1", 1.277259 / 1.138629)]
    [InlineData("\"beta_fast\": 16, \"beta_slow\": 2", 1.138629)]
    public void Yarn_says_its_attention_factor_or_takes_it_from_the_scale(string more, double factor)
        => Assert.Equal(factor, Read("qwen2", $$"""{"rope_type": "yarn", "factor": 4, "original_max_position_embeddings": 2048, {{more}}}""").Scaling!.AttentionFactor, 1e-6);

    [Fact]
    public void An_old_context_beside_the_scaling_wins_and_absent_it_is_the_context()
    {
        const string Scaling = """{"rope_type": "yarn", "factor": 4, "original_max_position_embeddings": 2048}""", Bare = """{"rope_type": "yarn", "factor": 4}""";
        Assert.Equal(Read("qwen2", Scaling), Read("qwen2", """{"rope_type": "yarn", "factor": 4, "original_max_position_embeddings": 64}""", beside: 2048));
        Assert.Equal(Read("qwen2", Scaling), Read("qwen2", Bare, context: 2048));
    }

    [Theory]
    [InlineData("longrope")]
    [InlineData("su")]
    [InlineData("yarn")]
    public void Longrope_divides_each_frequency_by_its_own_short_factor_up_to_the_old_context(string type)
    {
        Rotary rotary = Read("phi3", $$"""{"type": "{{type}}", "short_factor": [1, 1, 2, 4], "long_factor": [1, 8, 16, 32]}""", beside: 4096, context: 131_072);
        Equal([1, 0.1, 0.005, 0.00025], rotary);

        // √(1 + ln 32 / ln 4096) = √(1 + 5/12).
        Assert.Equal(Math.Sqrt(17.0 / 12), rotary.Scaling!.AttentionFactor, 1e-12);
        Assert.Equal(4096, rotary.Scaling.LongestSequence);
    }

    [Fact]
    public void Dynamic_scaling_changes_nothing_up_to_the_context()
    {
        Rotary rotary = Read("llama", """{"type": "dynamic", "factor": 3.0}""", context: 2048);
        Equal([1, 0.1, 0.01, 0.001], rotary);
        Assert.Equal((1, 2048), (rotary.Scaling!.AttentionFactor, rotary.Scaling.LongestSequence));
    }

    [Fact]
    public void Linear_scaling_divides_all() => Equal([0.25, 0.025, 0.0025, 0.00025], Read("llama", """{"type": "linear", "factor": 4}"""));

    /// <summary>Both queries and keys are multiplied by the attention factor: twice 2 is what a query scalar of a sixteenth does.</summary>
    [Fact]
    public void The_attention_factor_multiplies_queries_and_keys()
    {
        using TinyCheckpoint scaled = new("config_v4.json"), queries = new("config_v4.json");
        scaled.Config["rope_scaling"] = JsonNode.Parse("""{"rope_type": "yarn", "factor": 1, "attention_factor": 2}""");
        queries.Config["query_pre_attn_scalar"] = (double)queries.Config["query_pre_attn_scalar"]! / 16;
        float[] a = Stream(scaled.Save(), 40), b = Stream(queries.Save(), 40);
        double most = b.Max(Math.Abs);
        Assert.All(a.Zip(b), p => Assert.InRange(p.First - p.Second, -1e-5 * most, 1e-5 * most));
    }

    [Fact]
    public void A_sequence_beyond_the_old_context_is_refused_and_one_within_is_not()
    {
        using TinyCheckpoint tiny = new("config_v4.json");
        string ones = string.Join(", ", Enumerable.Repeat("1", (int)tiny.Config["head_dim"]! / 2));
        int context = (int)tiny.Config["max_position_embeddings"]!;
        tiny.Config["rope_scaling"] = JsonNode.Parse($$"""{"rope_type": "longrope", "original_max_position_embeddings": 32, "attention_factor": 1, "short_factor": [{{ones}}], "long_factor": [{{ones}}]}""");
        string folder = tiny.Save();
        Assert.True(context > 32);
        Assert.Equal(32, LlmConfig.Load(folder).ContextLimit);
        using TinyCheckpoint plain = new("config_v4.json");
        Assert.Equal(Stream(plain.Save(), 32), Stream(folder, 32));
        Assert.Contains("a sequence of 33 tokens is longer than 32", Assert.Throws<DiffractException>(() => Stream(folder, 33)).Message, StringComparison.Ordinal);
    }

    static void Equal(double[] expected, Rotary rotary, double within = 2e-7)
    {
        float[] frequencies = rotary.Frequencies();
        Assert.Equal(expected.Length, frequencies.Length);
        Assert.All(expected.Zip(frequencies), p => Assert.InRange(p.Second, p.First * (1 - within), p.First * (1 + within)));
    }

    /// <summary>The rotary part of a tiny model of the family whose heads are eight wide.</summary>
    static Rotary Read(string family, string scaling, int? beside = null, int? context = null)
    {
        using TinyCheckpoint tiny = new("config_v4.json", family);
        JsonObject config = tiny.Config;
        (config["head_dim"], config["rope_theta"], config["rope_scaling"]) = (8, Plain.Theta, JsonNode.Parse(scaling));
        config.Remove("original_max_position_embeddings");
        if (beside is { } old)
        {
            config["original_max_position_embeddings"] = old;
        }

        if (context is { } limit)
        {
            config["max_position_embeddings"] = limit;
        }

        return LlmConfig.Load(tiny.Save()).Rotary!;
    }

    static float[] Stream(string folder, int length)
    {
        ReferenceBackend backend = new();
        using Llm llm = Llm.Load(folder, backend, length, headNeeded: false);
        TokenBatch batch = new(length, 1);
        batch.Add([.. Enumerable.Range(0, length).Select(i => (i * 37 + 5) % llm.Config.Vocabulary)]);
        Matrix resid_TD = backend.Matrix(length, llm.Config.Width);
        llm.RunTo(batch, llm.Config.Layers - 1, resid_TD);
        float[] values = new float[length * llm.Config.Width];
        backend.Download(resid_TD, values);
        resid_TD.Buffer.Dispose();
        return values;
    }
}
