using Diffract.Activations.Caches;
using Diffract.Runs;

namespace Diffract.Tests.Activations.Caches;

/// <summary>What does not belong together, is damaged, or is being written, is refused by the fact that says so.</summary>
public sealed class CacheRefusalTests : IDisposable
{
    readonly TemporaryFolder _folder = new();
    readonly string _base, _chat;

    public CacheRefusalTests() => (_base, _chat) = CacheCopies.Of("f32", _folder.Path);

    string Refusal => CacheCopies.Refusal(_base, _chat, Path.Combine(_folder.Path, "x.safetensors"));

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Other_tokens_by_row_and_both_ids()
    {
        string path = Path.Combine(_base, "../tokens.pt");
        long[] ids = CacheCopies.Ids(path);
        ids[70_000 % ids.Length] = 3;
        (long was, ids[600]) = (ids[600], 4095);
        ids[70_000 % ids.Length] = CacheCopies.Ids(Path.Combine(_chat, "../tokens.pt"))[70_000 % ids.Length];
        CacheCopies.SaveIds(path, ids);
        Assert.Contains($"at row 600 the base model read token 4095", Refusal, StringComparison.Ordinal);
        Assert.Contains($"the chat model {was}", Refusal, StringComparison.Ordinal);
    }

    [Fact]
    public void Other_lengths_and_layers_and_one_folder_given_twice()
    {
        string other = Path.Combine(Path.GetDirectoryName(_base)!, "layer_4_out");
        Directory.Move(_base, other);
        Assert.Contains("the output of layer 4", CacheCopies.Refusal(other, _chat, Path.Combine(_folder.Path, "x")), StringComparison.Ordinal);
        Directory.Move(other, _base);
        Assert.Contains("twice", CacheCopies.Refusal(_base, _base, Path.Combine(_folder.Path, "x")), StringComparison.Ordinal);
        File.Delete(Path.Combine(_base, "shard_2.memmap"));
        CacheCopies.Edit(Path.Combine(_base, "config.json"), "\"total_size\": 713, \"shard_count\": 3", "\"total_size\": 608, \"shard_count\": 2");
        Assert.Contains("holds rows: 608, ", Refusal, StringComparison.Ordinal);
    }

    [Fact]
    public void Documents_parted_differently()
    {
        string path = Path.Combine(_base, "../sequence_ranges.pt");
        long[] starts = CacheCopies.Ids(path);
        starts[3]++;
        CacheCopies.SaveIds(path, starts);
        Assert.Contains("part the tokens into other documents", Refusal, StringComparison.Ordinal);
        starts[3] = 1;
        CacheCopies.SaveIds(path, starts);
        Assert.Contains("goes back from", Refusal, StringComparison.Ordinal);
        CacheCopies.SaveIds(path, 0, 700);
        Assert.Contains("from 0 to 700, wanted from 0 to the 713 rows", Refusal, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("\"total_size\": 713", "\"total_size\": 712", "hold 713 rows, config.json says total_size 712")]
    [InlineData("\"total_size\": 713", "\"total_size\": 99999999", "total_size 99999999 in 3")]
    [InlineData("\"shard_count\": 3", "\"shard_count\": 4", "shard_3.meta is missing, config.json counts 4 shards")]
    [InlineData("\"total_size\": 713, \"shard_count\": 3", "\"total_size\": 608, \"shard_count\": 2", "lies beyond the 2 shards")]
    [InlineData("\"d_model\": 20", "\"d_model\": 21", "width 20, config.json says d_model 21")]
    [InlineData("\"d_model\": 20", "\"d_model\": -1", "d_model -1, wanted a whole number")]
    [InlineData("\"shuffle_shards\": false", "\"shuffle_shards\": true", "collected with shuffle_shards")]
    public void A_configuration_that_does_not_fit(string from, string to, string said)
    {
        CacheCopies.Edit(Path.Combine(_chat, "config.json"), from, to);
        Assert.Contains(said, Refusal, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("""{"shape": [304, 20], "dtype": "torch.int8"}""", "dtype torch.int8, wanted torch.float32")]
    [InlineData("""{"shape": [304], "dtype": "torch.float32"}""", "no shape [rows, width]")]
    [InlineData("""{"shape": [303, 20], "dtype": "torch.float32"}""", "of another shape than its .meta says")]
    [InlineData("""{"shape": [304, 20], "dtype": "torch.bfloat16"}""", "of another shape than its .meta says")]
    [InlineData("""{"shape": [0, 20], "dtype": "torch.float32"}""", "no shape [rows, width]")]
    [InlineData("[]", "is not a JSON object")]
    public void A_shape_that_does_not_fit(string meta, string said)
    {
        File.WriteAllText(Path.Combine(_base, "shard_1.meta"), meta);
        Assert.Contains(said, Refusal, StringComparison.Ordinal);
    }

    [Fact]
    public void A_truncated_shard_and_one_with_a_value_that_is_no_number()
    {
        string shard = Path.Combine(_chat, "shard_1.memmap");
        byte[] bytes = File.ReadAllBytes(shard);
        File.WriteAllBytes(shard, bytes[..^80]);
        Assert.Contains("shard_1.memmap has 24240 bytes, 304 rows of 20 torch.float32 take 24320: truncated", Refusal, StringComparison.Ordinal);
        BitConverter.TryWriteBytes(bytes.AsSpan(80 * 3 + 4 * 7), float.NaN);
        File.WriteAllBytes(shard, bytes);
        Assert.Contains("shard_1.memmap holds NaN in row 3, column 7 (row 307 of the cache)", Refusal, StringComparison.Ordinal);
        File.Delete(shard);
        Assert.Contains("shard_1.memmap is missing", Refusal, StringComparison.Ordinal);
    }

    [Fact]
    public void What_is_no_cache_or_not_yet_one()
    {
        File.Delete(Path.Combine(_base, "config.json"));
        Assert.Contains("has no config.json, which a collector writes last", Refusal, StringComparison.Ordinal);
        Directory.Delete(_base, recursive: true);
        Assert.Contains("is not a folder", Refusal, StringComparison.Ordinal);
    }

    [Fact]
    public void Tokens_of_another_number_or_kind()
    {
        string path = Path.Combine(_chat, "../tokens.pt");
        long[] ids = CacheCopies.Ids(path);
        CacheCopies.SaveIds(path, ids[..^1]);
        Assert.Contains("holds 712 values of I64, wanted an integer for each of the 713 rows", Refusal, StringComparison.Ordinal);
        ids[4] = -1;
        CacheCopies.SaveIds(path, ids);
        Assert.Contains("holds -1 at row 4, wanted token ids", Refusal, StringComparison.Ordinal);
        File.Copy(Path.Combine(_chat, "mean.pt"), path, overwrite: true);
        Assert.Contains("20 values of F64", Refusal, StringComparison.Ordinal);
        File.WriteAllText(path, "no pickle");
        Assert.Contains("is not a file of torch.save", Refusal, StringComparison.Ordinal);
    }

    [Fact]
    public void A_file_that_grows_shrinks_comes_or_is_written_again_while_it_is_read()
    {
        string shard = Path.Combine(_chat, "shard_0.memmap"), next = Path.Combine(_base, "shard_3.memmap"), ranges = Path.Combine(_chat, "../sequence_ranges.pt");
        byte[] bytes = File.ReadAllBytes(shard), starts = File.ReadAllBytes(ranges);
        Says(() => File.AppendAllText(shard, "x"), "of another shape than its .meta says");
        Says(() => File.WriteAllBytes(shard, bytes[..^4]), "truncated, or still being written", "it has become shorter");
        Says(() => File.WriteAllText(next, "x"), "lies beyond the 3 shards");
        Says(() => File.SetLastWriteTimeUtc(shard, DateTime.UtcNow.AddMinutes(1)), "was written while it was read");
        Says(() => File.Delete(ranges), "was written while it was read");

        void Says(Action change, params string[] said)
        {
            bool changed = false;
            ListProgress progress = new()
            {
                Reported = _ =>
                {
                    if (!changed)
                    {
                        changed = true;
                        change();
                    }
                },
            };
            string output = Path.Combine(_folder.Path, "x.safetensors");
            string message = Assert.Throws<DiffractException>(() => LooseCache.Convert(_base, _chat, output, progress, default)).Message;
            Assert.Contains(said, s => message.Contains(s, StringComparison.Ordinal));
            Assert.False(File.Exists(output));
            File.WriteAllBytes(shard, bytes);
            File.WriteAllBytes(ranges, starts);
            File.Delete(next);
        }
    }
}
