using System.Runtime.InteropServices;
using Diffract.Activations.Caches;
using Diffract.Formats;
using Diffract.Runs;

namespace Diffract.Tests.Activations.Caches;

public sealed class LooseCacheTests : IDisposable
{
    readonly TemporaryFolder _folder = new();

    string Out => Path.Combine(_folder.Path, "x.safetensors");

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("bf16")]
    [InlineData("f32")]
    public void A_cache_that_torch_wrote_is_read_to_the_bit(string kind)
    {
        string root = GoldenFiles.Path("cache/" + kind);
        (long rows, bool tokens) = LooseCache.Convert(Path.Combine(root, "base/split", CacheCopies.Layer), Path.Combine(root, "chat/split", CacheCopies.Layer), Out, new SilentProgress(), default);
        Assert.Equal((713, true), (rows, tokens));
        using SafetensorsFile made = SafetensorsFile.Open(Out), expected = SafetensorsFile.Open(GoldenFiles.Path("cache/expected.safetensors"));
        Assert.Equal([713, 2, 20], made["x"].Shape);
        Assert.Equal("F32", made["x"].Type);
        Assert.Equal("I64", made["tokens"].Type);
        Assert.True(made.Bytes("x").SequenceEqual(expected.Bytes("x_" + kind)));
        Assert.True(made.Bytes("tokens").SequenceEqual(expected.Bytes("tokens")));
    }

    [Fact]
    public void Half_precision_and_a_shard_without_a_type_are_read()
    {
        (string a, string b) = CacheCopies.Of("f32", _folder.Path);
        byte[] bytes = File.ReadAllBytes(Path.Combine(a, "shard_2.memmap"));
        Half[] halves = [.. MemoryMarshal.Cast<byte, float>(bytes).ToArray().Select(v => (Half)v)];
        halves[5] = BitConverter.UInt16BitsToHalf(1);
        File.WriteAllBytes(Path.Combine(a, "shard_2.memmap"), MemoryMarshal.AsBytes(halves.AsSpan()).ToArray());
        File.WriteAllText(Path.Combine(a, "shard_2.meta"), """{"shape": [105, 20], "dtype": "torch.float16"}""");
        File.WriteAllText(Path.Combine(b, "shard_0.meta"), """{"shape": [304, 20]}""");
        LooseCache.Convert(a, b, Out, new SilentProgress(), default);
        using SafetensorsFile made = SafetensorsFile.Open(Out), expected = SafetensorsFile.Open(GoldenFiles.Path("cache/expected.safetensors"));
        float[] x = made.Floats("x"), wanted = expected.Floats("x_f32");
        for (int r = 608; r < 713; r++)
        {
            for (int c = 0; c < 20; c++)
            {
                Assert.Equal((float)halves[(r - 608) * 20 + c], x[r * 40 + c]);
            }
        }

        Assert.Equal(wanted[..(304 * 40)], x[..(304 * 40)]);
    }

    [Fact]
    public void Tokens_may_lie_in_the_folder_or_beside_it_and_the_folder_comes_first()
    {
        (string a, string b) = CacheCopies.Of("f32", _folder.Path);
        foreach (string model in (string[])[a, b])
        {
            long[] ids = CacheCopies.Ids(Path.Combine(model, "../tokens.pt"));
            ids[7] = 99;
            CacheCopies.SaveIds(Path.Combine(model, "tokens.pt"), ids);
        }

        LooseCache.Convert(a, b, Out, new SilentProgress(), default);
        using SafetensorsFile made = SafetensorsFile.Open(Out);
        Assert.Equal(99, made.Integers("tokens")[7]);
    }

    [Fact]
    public void Without_tokens_the_file_holds_x_alone_and_says_so()
    {
        (string a, string b) = CacheCopies.Of("bf16", _folder.Path);
        File.Delete(Path.Combine(a, "tokens.pt"));
        Assert.Contains("its tokens and", CacheCopies.Refusal(a, b, Out), StringComparison.Ordinal);
        File.Delete(Path.Combine(b, "tokens.pt"));
        ListProgress progress = new();
        Assert.Equal((713, false), LooseCache.Convert(a, b, Out, progress, default));
        using SafetensorsFile made = SafetensorsFile.Open(Out);
        Assert.Equal("x", Assert.Single(made.Tensors.Keys));
        Assert.Contains("without its tokens", Assert.Single(progress.Warnings), StringComparison.Ordinal);
    }

    [Fact]
    public void Models_of_different_widths_have_a_tensor_each()
    {
        (string a, string b) = CacheCopies.Of("f32", _folder.Path);
        byte[][] shards = [.. Enumerable.Range(0, 3).Select(i => File.ReadAllBytes(Path.Combine(b, $"shard_{i}.memmap")))];
        CacheCopies.Edit(Path.Combine(b, "config.json"), "\"d_model\": 20", "\"d_model\": 10");
        for (int i = 0; i < 3; i++)
        {
            int rows = shards[i].Length / 80;
            File.WriteAllBytes(Path.Combine(b, $"shard_{i}.memmap"), [.. Enumerable.Range(0, rows).SelectMany(r => shards[i][(r * 80)..(r * 80 + 40)])]);
            CacheCopies.Edit(Path.Combine(b, $"shard_{i}.meta"), ", 20]", ", 10]");
        }

        LooseCache.Convert(a, b, Out, new SilentProgress(), default);
        using SafetensorsFile made = SafetensorsFile.Open(Out), expected = SafetensorsFile.Open(GoldenFiles.Path("cache/expected.safetensors"));
        float[] wanted = expected.Floats("x_f32"), x0 = made.Floats("x.0", 713, 20), x1 = made.Floats("x.1", 713, 10);
        Assert.All((int[])[0, 303, 304, 712], r => Assert.True(wanted.AsSpan(r * 40, 20).SequenceEqual(x0.AsSpan(r * 20, 20)) && wanted.AsSpan(r * 40 + 20, 10).SequenceEqual(x1.AsSpan(r * 10, 10))));
    }

    [Fact]
    public void Shards_of_the_two_models_may_end_at_different_rows()
    {
        (string a, string b) = CacheCopies.Of("f32", _folder.Path);
        byte[] all = [.. Enumerable.Range(0, 3).SelectMany(i => File.ReadAllBytes(Path.Combine(b, $"shard_{i}.memmap")))];
        int[] ends = [0, 1, 500, 713];
        for (int i = 0; i < 3; i++)
        {
            File.WriteAllBytes(Path.Combine(b, $"shard_{i}.memmap"), all[(ends[i] * 80)..(ends[i + 1] * 80)]);
            File.WriteAllText(Path.Combine(b, $"shard_{i}.meta"), $$"""{"shape": [{{ends[i + 1] - ends[i]}}, 20], "dtype": "torch.float32"}""");
        }

        LooseCache.Convert(a, b, Out, new SilentProgress(), default);
        using SafetensorsFile made = SafetensorsFile.Open(Out), expected = SafetensorsFile.Open(GoldenFiles.Path("cache/expected.safetensors"));
        Assert.True(made.Bytes("x").SequenceEqual(expected.Bytes("x_f32")));
    }

    [Fact]
    public void A_full_disk_is_said_and_leaves_nothing()
    {
        string root = GoldenFiles.Path("cache/f32");
        AtomicFile.Through.Value = stream => new FullDisk(stream, 50_000);
        try
        {
            string message = CacheCopies.Refusal(Path.Combine(root, "base/split", CacheCopies.Layer), Path.Combine(root, "chat/split", CacheCopies.Layer), Out);
            Assert.Contains("No space left", message, StringComparison.Ordinal);
        }
        finally
        {
            AtomicFile.Through.Value = null;
        }
    }
}
