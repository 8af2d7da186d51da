using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Compute.Reference;
using Diffract.Formats;
using Diffract.Llms;
using Diffract.Runs;

namespace Diffract.Tests.Llms;

public sealed class LlmWeightsTests
{
    const string Key = "model.layers.2.self_attn.k_proj.weight";

    [Fact]
    public void Shards_give_the_same_bits_as_one_file()
    {
        using TinyCheckpoint tiny = new();
        Assert.Equal(Residual(GoldenFiles.Path("models/gemma2")), Residual(tiny.Save(shards: 3)));
    }

    [Fact]
    public void Half_precision_is_widened_exactly()
    {
        using TinyCheckpoint half = new(), wide = new();
        half.RoundToHalf(store: true);
        wide.RoundToHalf(store: false);
        Assert.Equal(Residual(wide.Save()), Residual(half.Save()));
    }

    [Fact]
    public void A_missing_tensor_is_named()
    {
        using TinyCheckpoint tiny = new();
        tiny.Tensors.Remove(Key);
        Refuses(tiny.Save(), $"has no tensor {Key}, wanted [48, 64]");
    }

    [Fact]
    public void A_wrong_shape_is_named()
    {
        using TinyCheckpoint tiny = new();
        tiny.Tensors[Key] = tiny.Tensors[Key] with { Shape = [64, 48] };
        Refuses(tiny.Save(), $"tensor {Key} has the shape [64, 48], wanted [48, 64]");
    }

    [Fact]
    public void A_wrong_type_is_named()
    {
        using TinyCheckpoint tiny = new();
        tiny.Tensors[Key] = tiny.Tensors[Key] with { Type = "I32" };
        Refuses(tiny.Save(), $"tensor {Key} is I32, wanted F32, BF16 or F16");
    }

    [Fact]
    public void Truncated_weights_name_the_tensor()
    {
        using TinyCheckpoint tiny = new();
        tiny.Save();
        using (FileStream file = File.OpenWrite(tiny.WeightsPath))
        {
            file.SetLength(file.Length - 100);
        }

        Refuses(tiny.Folder, "truncated", "tensor model.");
    }

    [Fact]
    public void Missing_weights_and_shards_are_refused()
    {
        using TinyCheckpoint tiny = new();
        tiny.Save();
        File.Delete(tiny.WeightsPath);
        Refuses(tiny.Folder, "has neither model.safetensors nor model.safetensors.index.json");
        tiny.Save(shards: 2);
        File.Delete(tiny.WeightsPath);
        File.Delete(Path.Combine(tiny.Folder, "model-00002-of-00002.safetensors"));
        Refuses(tiny.Folder, "model-00002-of-00002.safetensors is missing");
    }

    [Theory]
    [InlineData("{", "is not a safetensors index")]
    [InlineData("""{"weight_map": {"w": "../model.safetensors"}}""", "tensor w lies in '../model.safetensors'")]
    [InlineData("""{"weight_map": {}}""", "lists no tensors")]
    public void A_broken_index_is_refused(string index, string message)
    {
        using TinyCheckpoint tiny = new();
        tiny.Save();
        File.Delete(tiny.WeightsPath);
        File.WriteAllText(Path.Combine(tiny.Folder, "model.safetensors.index.json"), index);
        Refuses(tiny.Folder, message);
    }

    [Fact]
    public void The_seal_changes_with_the_configuration_and_with_the_weights()
    {
        using TinyCheckpoint tiny = new();
        string before = CheckpointSeal.Of(tiny.Save());
        Assert.Equal(before, CheckpointSeal.Of(tiny.Save()));
        tiny.Config["rms_norm_eps"] = 1e-5;
        string configured = CheckpointSeal.Of(tiny.Save());
        tiny.Tensors[Key].Bytes[7] ^= 1;
        string weighted = CheckpointSeal.Of(tiny.Save());
        Assert.Equal(3, new HashSet<string> { before, configured, weighted }.Count);
    }

    static void Refuses(string folder, params string[] parts)
    {
        DiffractException e = Assert.Throws<DiffractException>(() => Llm.Load(folder, new ReferenceBackend()).Dispose());
        Assert.All(parts, part => Assert.Contains(part, e.Message, StringComparison.Ordinal));
        Assert.DoesNotContain("\n", e.Message, StringComparison.Ordinal);
    }

    static float[] Residual(string folder)
    {
        using IBackend backend = LlmBackends.Create("vector");
        using Llm llm = Llm.Load(folder, backend);
        TokenBatch batch = new(10, 1);
        batch.Add([2, 5, 300, 7, 7, 41, 200, 11, 12, 13]);
        Matrix resid = backend.Matrix(10, llm.Config.Width);
        llm.RunTo(batch, 3, resid);
        float[] values = new float[10 * llm.Config.Width];
        backend.Download(resid, values);
        return values;
    }
}
