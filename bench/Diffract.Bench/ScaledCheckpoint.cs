using System.Runtime.InteropServices;
using System.Text.Json.Nodes;
using Diffract.Compute.Buffers;
using Diffract.Formats;

namespace Diffract.Bench;

/// <summary>
/// A checkpoint folder with the shapes of a published model but only two of its blocks (one layer group) and as much of its vocabulary, random weights, in a temporary place.
/// </summary>
sealed class ScaledCheckpoint : IDisposable
{
    const int Blocks = 2;

    const int Piece = 1 << 16;

    readonly SafetensorsWriter _writer = new();
    readonly ElementType _type;
    readonly JsonObject _config;
    readonly bool _gemma;
    uint _seed = 1;

    ScaledCheckpoint(JsonObject config, ElementType type)
    {
        (_config, _type) = (config, type);
        _gemma = (string?)config["model_type"] == "gemma2";
        Folder = Directory.CreateTempSubdirectory("diffract-bench-").FullName;
        try
        {
            File.WriteAllText(Path.Combine(Folder, "config.json"), config.ToJsonString());
            Add("model.embed_tokens.weight", Get("vocab_size"), Get("hidden_size"));
            for (int layer = 0; layer < Blocks; layer++)
            {
                AddBlock($"model.layers.{layer}.");
            }

            Add("model.norm.weight", Get("hidden_size"));
            _writer.Save(Path.Combine(Folder, "model.safetensors"));
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    public string Folder { get; }

    /// <summary>Gemma 2 2B: 26 blocks, 256,000 ids.</summary>
    public static ScaledCheckpoint Gemma2(ElementType type) => new(
        new JsonObject
        {
            ["model_type"] = "gemma2",
            ["hidden_size"] = 2304,
            ["intermediate_size"] = 9216,
            ["num_hidden_layers"] = Blocks,
            ["num_attention_heads"] = 8,
            ["num_key_value_heads"] = 4,
            ["head_dim"] = 256,
            ["vocab_size"] = 256_000 * Blocks / 26,
            ["query_pre_attn_scalar"] = 256,
            ["sliding_window"] = 4096,
            ["attn_logit_softcapping"] = 50.0,
            ["final_logit_softcapping"] = 30.0,
            ["max_position_embeddings"] = 8192,
            ["tie_word_embeddings"] = true,
        },
        type);

    /// <summary>Llama 3.2 1B: 16 blocks, 128,256 ids.</summary>
    public static ScaledCheckpoint Llama32(ElementType type) => new(
        new JsonObject
        {
            ["model_type"] = "llama",
            ["hidden_size"] = 2048,
            ["intermediate_size"] = 8192,
            ["num_hidden_layers"] = Blocks,
            ["num_attention_heads"] = 32,
            ["num_key_value_heads"] = 8,
            ["head_dim"] = 64,
            ["vocab_size"] = 128_256 * Blocks / 16,
            ["max_position_embeddings"] = 8192,
            ["rope_theta"] = 500_000.0,
            ["tie_word_embeddings"] = true,
        },
        type);

    public void Dispose() => Directory.Delete(Folder, recursive: true);

    void AddBlock(string prefix)
    {
        int width = Get("hidden_size"), inner = Get("intermediate_size"), head = Get("head_dim");
        int queries = Get("num_attention_heads") * head, keys = Get("num_key_value_heads") * head;
        string[] norms = _gemma
            ? ["input_layernorm", "post_attention_layernorm", "pre_feedforward_layernorm", "post_feedforward_layernorm"]
            : ["input_layernorm", "post_attention_layernorm"];
        foreach (string norm in norms)
        {
            Add($"{prefix}{norm}.weight", width);
        }

        Add(prefix + "self_attn.q_proj.weight", queries, width);
        Add(prefix + "self_attn.k_proj.weight", keys, width);
        Add(prefix + "self_attn.v_proj.weight", keys, width);
        Add(prefix + "self_attn.o_proj.weight", width, queries);
        Add(prefix + "mlp.gate_proj.weight", inner, width);
        Add(prefix + "mlp.up_proj.weight", inner, width);
        Add(prefix + "mlp.down_proj.weight", width, inner);
    }

    int Get(string key) => (int)_config[key]!;

    void Add(string name, params int[] shape)
    {
        long count = shape.Aggregate(1L, (n, size) => n * size);
        double scale = Math.Sqrt(3.0 / shape[^1]);
        uint seed = _seed++;
        _writer.AddBytes(name, _type == ElementType.BFloat16 ? "BF16" : "F32", [.. shape.Select(n => (long)n)], count * _type.Size(), stream => Write(stream, count, scale, seed));
    }

    /// <summary>Uniform weights of variance 1 / inputs, rounded to bfloat16 in both types.</summary>
    void Write(Stream stream, long count, double scale, uint seed)
    {
        ushort[] halves = new ushort[Piece];
        float[] wide = new float[Piece];
        float factor = (float)(scale / int.MaxValue);
        for (long at = 0; at < count; at += Piece)
        {
            int some = (int)Math.Min(Piece, count - at);
            for (int i = 0; i < some; i++)
            {
                seed = seed * 1664525 + 1013904223;
                wide[i] = factor * (int)seed;
            }

            BFloat16.Round(wide.AsSpan(0, some), halves);
            if (_type == ElementType.BFloat16)
            {
                stream.Write(MemoryMarshal.AsBytes(halves.AsSpan(0, some)));
            }
            else
            {
                BFloat16.Widen(halves.AsSpan(0, some), wide);
                stream.Write(MemoryMarshal.AsBytes(wide.AsSpan(0, some)));
            }
        }
    }
}
