using System.Runtime.InteropServices;
using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Compute.Reference;
using Diffract.Cpu;
using Diffract.Llms;
using Diffract.Runs;

namespace Diffract.Tests.Llms;

/// <summary>What must hold in every family, and switches for which there is no golden model, by equivalences.</summary>
public sealed class FamilyTests
{
    public static TheoryData<string> Families => [.. LlmGoldenTests.Families];

    [Theory]
    [InlineData("llama3")]
    [InlineData("qwen3")]
    public void Shards_give_the_same_bits_as_one_file(string family)
    {
        using TinyCheckpoint one = new(family: family);
        Assert.Equal(Logits(GoldenFiles.Path($"models/{family}")), Logits(one.Save()));
    }

    [Theory]
    [MemberData(nameof(Families))]
    public void Weights_in_bfloat16_give_the_bits_of_the_rounded_ones(string family)
    {
        using TinyCheckpoint narrow = new(family: family), wide = new(family: family);
        narrow.RoundToBFloat16(store: true);
        wide.RoundToBFloat16(store: false);
        Assert.Equal(Logits(wide.Save()), Logits(narrow.Save()));
    }

    [Theory]
    [InlineData("gpt2", "transformer.")]
    [InlineData("gpt_neox", "gpt_neox.")]
    [InlineData("llama", "model.")]
    public void The_prefix_of_tensors_may_be_left_out(string family, string prefix)
    {
        using TinyCheckpoint whole = new(family: family), bare = new(family: family);
        foreach (string name in whole.Tensors.Keys.Where(n => n.StartsWith(prefix, StringComparison.Ordinal)))
        {
            bare.Tensors.Remove(name, out (string, long[], byte[]) tensor);
            bare.Tensors[name[prefix.Length..]] = tensor;
        }

        Assert.DoesNotContain(bare.Tensors.Keys, n => n.StartsWith(prefix, StringComparison.Ordinal));
        Assert.Equal(Logits(whole.Save()), Logits(bare.Save()));
    }

    [Theory]
    [MemberData(nameof(Families))]
    public void Batches_and_threads_do_not_change_a_bit(string family)
    {
        using IBackend one = new CpuBackend(CpuPaths.Best, 1), three = new CpuBackend(CpuPaths.Best, 3);
        using Llm llm = Llm.Load(GoldenFiles.Path($"models/{family}"), one), other = Llm.Load(GoldenFiles.Path($"models/{family}"), three);
        int[][] sequences = [Ids(40), Ids(1), [], Ids(91)];
        float[] together = Residual(llm, one, sequences);
        Assert.Equal(together, Residual(other, three, sequences));
        Assert.Equal(together, sequences.SelectMany(s => Residual(llm, one, s)));
    }

    [Theory]
    [MemberData(nameof(Families))]
    public void The_cache_continues_as_computing_everything_again_does(string family)
    {
        using IBackend backend = LlmBackends.Create("vector");
        using Llm llm = Llm.Load(GoldenFiles.Path($"models/{family}"), backend);
        // More than the windows of 16 tokens.
        List<int> ids = [.. Ids(21)];
        int[] cached = llm.Greedy([.. ids], 10, stopAtEnd: false, TestContext.Current.CancellationToken);
        foreach (int next in cached)
        {
            TokenBatch batch = new(ids.Count, 1);
            batch.Add([.. ids]);
            Matrix resid = backend.Matrix(ids.Count, llm.Config.Width), logits = backend.Matrix(1, llm.Config.Vocabulary);
            llm.Forward(batch, resid, 0, null, [ids.Count - 1], logits);
            float[] values = Floats(backend, logits);
            Assert.Equal(Array.IndexOf(values, values.Max()), next);
            ids.Add(next);
        }
    }

    [Theory]
    [MemberData(nameof(Families))]
    public void Prompts_continued_together_get_the_ids_that_each_gets_alone(string family)
    {
        using IBackend backend = new CpuBackend(CpuPaths.Best, 2);
        using Llm llm = Llm.Load(GoldenFiles.Path($"models/{family}"), backend);
        // Around the windows of 16 tokens, and sums above a chunk of tokens.
        int[][] prompts = [Ids(21), Ids(1), Ids(15), Ids(90), Ids(16)];
        int[][] alone = [.. prompts.Select(p => llm.Greedy(p, 9, stopAtEnd: false, TestContext.Current.CancellationToken))];
        Assert.Equal(alone, llm.GreedyBatch(prompts, 9, stopAtEnd: false, TestContext.Current.CancellationToken));
    }

    /// <summary>A block that adds attention, then the MLP of the sum, is two parallel blocks: one without an MLP, one without attention.</summary>
    [Fact]
    public void Blocks_in_sequence_are_parallel_blocks_of_one_half_each()
    {
        using TinyCheckpoint sequential = new(family: "gpt_neox"), parallel = new(family: "gpt_neox");
        sequential.Config["use_parallel_residual"] = false;
        parallel.Config["num_hidden_layers"] = 8;
        string[] mlp = ["mlp.dense_4h_to_h.weight", "mlp.dense_4h_to_h.bias"], attention = ["attention.dense.weight", "attention.dense.bias"];
        foreach (string name in parallel.Tensors.Keys.Where(n => n.StartsWith("gpt_neox.layers.", StringComparison.Ordinal)).ToArray())
        {
            parallel.Tensors.Remove(name);
        }

        foreach ((string name, (string type, long[] shape, byte[] bytes)) in sequential.Tensors.Where(t => t.Key.StartsWith("gpt_neox.layers.", StringComparison.Ordinal)))
        {
            string[] parts = name.Split('.', 4);
            int layer = int.Parse(parts[2], System.Globalization.CultureInfo.InvariantCulture);
            parallel.Tensors[$"gpt_neox.layers.{2 * layer}.{parts[3]}"] = (type, shape, mlp.Contains(parts[3]) ? new byte[bytes.Length] : bytes);
            parallel.Tensors[$"gpt_neox.layers.{2 * layer + 1}.{parts[3]}"] = (type, shape, attention.Contains(parts[3]) ? new byte[bytes.Length] : bytes);
        }

        Assert.Equal(Logits(parallel.Save()), Logits(sequential.Save()));
        Assert.NotEqual(Logits(GoldenFiles.Path("models/gpt_neox")), Logits(sequential.Folder));
    }

    [Theory]
    [InlineData("scale_attn_by_inverse_layer_idx", true)]
    [InlineData("scale_attn_weights", false)]
    public void Scales_of_attention_scores_are_scales_of_the_queries(string key, bool value)
    {
        using TinyCheckpoint switched = new(family: "gpt2"), folded = new(family: "gpt2");
        switched.Config[key] = value;
        for (int layer = 0; layer < 4; layer++)
        {
            // Four heads of width 16 give scores a quarter of q·k.
            float factor = value ? 1f / (layer + 1) : 4;
            foreach (string part in (string[])["weight", "bias"])
            {
                Span<float> values = MemoryMarshal.Cast<byte, float>(folded.Tensors[$"transformer.h.{layer}.attn.c_attn.{part}"].Bytes.AsSpan());
                for (int i = 0; i < values.Length; i++)
                {
                    // [in, queries, keys and values]: the first 64 of each 192.
                    values[i] *= i % 192 < 64 ? factor : 1;
                }
            }
        }

        Close.Max(Logits(folded.Save()), Logits(switched.Save()), 1e-5, key);
        Assert.NotEqual(Logits(GoldenFiles.Path("models/gpt2")), Logits(switched.Folder));
    }

    /// <summary>With all matrices of a block 0 but the last, its output is x + b_o + W_down·(silu(b_gate) ∘ b_up) + b_down.</summary>
    [Fact]
    public void Biases_of_a_llama_by_hand()
    {
        using TinyCheckpoint tiny = new(family: "llama");
        (tiny.Config["attention_bias"], tiny.Config["mlp_bias"], tiny.Config["num_hidden_layers"]) = (true, true, 1);
        Random random = new(5);
        foreach ((string name, int rows) in new[] { ("self_attn.q_proj", 64), ("self_attn.k_proj", 64), ("self_attn.v_proj", 64), ("self_attn.o_proj", 64), ("mlp.gate_proj", 112), ("mlp.up_proj", 112), ("mlp.down_proj", 64) })
        {
            float[] bias = [.. Enumerable.Range(0, rows).Select(_ => (float)random.NextDouble() - 0.5f)];
            tiny.Tensors[$"model.layers.0.{name}.bias"] = ("F32", [rows], MemoryMarshal.AsBytes<float>(bias).ToArray());
            if (name != "mlp.down_proj")
            {
                tiny.Tensors[$"model.layers.0.{name}.weight"].Bytes.AsSpan().Clear();
            }
        }

        float[] Of(string name) => MemoryMarshal.Cast<byte, float>(tiny.Tensors[name].Bytes).ToArray();
        float[] embedding = Of("model.embed_tokens.weight"), output = Of("model.layers.0.self_attn.o_proj.bias"), down = Of("model.layers.0.mlp.down_proj.weight"), last = Of("model.layers.0.mlp.down_proj.bias");
        float[] gate = Of("model.layers.0.mlp.gate_proj.bias"), up = Of("model.layers.0.mlp.up_proj.bias");
        float[] wanted = [.. Enumerable.Range(0, 64).Select(d => (float)(embedding[7 * 64 + d] + output[d] + last[d]
            + Enumerable.Range(0, 112).Sum(f => down[d * 112 + f] * (gate[f] / (1 + Math.Exp(-gate[f]))) * up[f])))];
        foreach (string name in LlmBackends.Names)
        {
            using IBackend backend = LlmBackends.Create(name);
            using Llm llm = Llm.Load(tiny.Save(), backend);
            Close.Max(wanted, Residual(llm, backend, [7]), 1e-6, name);
        }
    }

    [Theory]
    [InlineData("model.layers.1.self_attn.q_norm.weight")]
    [InlineData("model.layers.0.self_attn.q_proj.bias")]
    public void A_tensor_that_the_family_does_not_have_is_refused(string name)
    {
        using TinyCheckpoint tiny = new(family: "llama");
        tiny.Tensors[name] = ("F32", [64], new byte[256]);
        Assert.Contains($"has the tensor {name}, which no llama has", Refused(tiny.Save()), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("gpt2", "transformer.h.0.attn.bias")]
    [InlineData("gpt_neox", "gpt_neox.layers.0.attention.masked_bias")]
    [InlineData("llama", "model.layers.3.self_attn.rotary_emb.inv_freq")]
    [InlineData("llama", "model.layers.4.self_attn.q_norm.weight")]
    public void Saved_masks_frequencies_and_further_blocks_are_passed_over(string family, string name)
    {
        using TinyCheckpoint tiny = new(family: family);
        tiny.Tensors[name] = ("F32", [64], new byte[256]);
        Llm.Load(tiny.Save(), new ReferenceBackend()).Dispose();
    }

    [Fact]
    public void More_tokens_than_learned_positions_are_refused()
    {
        using IBackend backend = LlmBackends.Create("vector");
        using Llm llm = Llm.Load(GoldenFiles.Path("models/gpt2"), backend);
        Assert.Equal(256 * 64, Residual(llm, backend, Ids(256)).Length);
        Assert.Contains("a sequence of 257 tokens is longer than the 256 positions", Assert.Throws<DiffractException>(() => Residual(llm, backend, Ids(257))).Message, StringComparison.Ordinal);
        Assert.Equal(7, llm.Greedy(Ids(250), 7, false, TestContext.Current.CancellationToken).Length);
        Assert.Contains("257 tokens", Assert.Throws<DiffractException>(() => llm.Greedy(Ids(250), 8, false, TestContext.Current.CancellationToken)).Message, StringComparison.Ordinal);
    }

    static string Refused(string folder) => Assert.Throws<DiffractException>(() => Llm.Load(folder, new ReferenceBackend()).Dispose()).Message;

    static int[] Ids(int count) => [.. Enumerable.Range(0, count).Select(i => (i * 37 + count) % 320)];

    static float[] Residual(Llm llm, IBackend backend, params int[][] sequences)
    {
        TokenBatch batch = new(sequences.Sum(s => s.Length), sequences.Length);
        foreach (int[] sequence in sequences)
        {
            batch.Add(sequence);
        }

        Matrix resid = backend.Matrix(Math.Max(batch.Tokens, 1), llm.Config.Width).SliceRows(0, batch.Tokens);
        llm.RunTo(batch, llm.Config.Layers - 1, resid);
        return Floats(backend, resid);
    }

    static float[] Logits(string folder)
    {
        using IBackend backend = LlmBackends.Create("vector");
        using Llm llm = Llm.Load(folder, backend);
        TokenBatch batch = new(40, 1);
        batch.Add(Ids(40));
        Matrix resid = backend.Matrix(40, llm.Config.Width), logits = backend.Matrix(40, llm.Config.Vocabulary);
        llm.Forward(batch, resid, 0, null, Enumerable.Range(0, 40).ToArray(), logits);
        return Floats(backend, logits);
    }

    static float[] Floats(IBackend backend, Matrix matrix)
    {
        float[] values = new float[matrix.Rows * matrix.Columns];
        backend.Download(matrix, values);
        return values;
    }
}
