using Diffract.Activations;
using Diffract.Activations.Caches;
using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Formats;
using Diffract.Runs;
using Diffract.Tokens;

namespace Diffract.Tests.Activations.Caches;

/// <summary>Runs that begin from the caches that torch wrote, and caches that are written from runs.</summary>
public sealed class CacheRunTests : IDisposable
{
    static readonly string BaseModel = Path.Combine(GoldenFiles.Assets, "base"), ChatModel = Path.Combine(GoldenFiles.Assets, "chat");
    readonly TemporaryFolder _folder = new();
    readonly ListProgress _said = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("bf16")]
    [InlineData("f32")]
    public void Rows_are_read_in_place_and_written_again_byte_by_byte(string kind)
    {
        (string a, string b) = CacheCopies.Of(kind, Path.Combine(_folder.Path, "cache"));
        RunFolder run = Begin(a, b);
        using (SafetensorsFile expected = SafetensorsFile.Open(GoldenFiles.Path("cache/expected.safetensors")))
        using (TokenStore tokens = TokenStore.Open(run))
        using (ActivationStore store = ActivationStore.Open(run, 3))
        {
            Assert.Equal((713, 40, 3, ModelsKnown.Nothing), (store.Rows, store.E, store.Layer, tokens.Models));
            float[] x = expected.Floats("x_" + kind);
            long[] ids = expected.Integers("tokens");
            Matrix acts_BE = Matrix.Host(713, 40);
            store.Read(0, 713, acts_BE);
            Assert.All(Enumerable.Range(0, 713), r => Assert.True(acts_BE.Row(r).SequenceEqual(x.AsSpan(r * 40, 40))));
            Assert.Equal(ids, tokens.Documents.SelectMany(d => tokens.Ids(d).ToArray()).Select(i => (long)i));
            if (kind == "f32")
            {
                long[] starts = [.. tokens.Documents.Select(d => d.Start), 713];
                Assert.Equal(CacheCopies.Ids(Path.Combine(a, "../sequence_ranges.pt")), starts);
            }

            Assert.All(tokens.Documents, d => Assert.Equal(2, tokens.Ids(d)[0]));
            Assert.Equal(["statistics.safetensors"], store.Manifest.Outputs.Keys);
            store.Gather([712, 0, 304], acts_BE);
            long before = GC.GetAllocatedBytesForCurrentThread();
            store.Gather([712, 0, 304], acts_BE);
            Assert.Equal(before, GC.GetAllocatedBytesForCurrentThread());
        }

        string[] written = [Path.Combine(_folder.Path, "again/base", CacheCopies.Layer), Path.Combine(_folder.Path, "again/chat", CacheCopies.Layer)];
        CacheWriter.Write(run, null, written[0], written[1], _said, default);
        foreach ((string from, string to) in new[] { (a, written[0]), (b, written[1]) })
        {
            Assert.All(Enumerable.Range(0, 3), i => Assert.Equal(File.ReadAllBytes(Path.Combine(from, $"shard_{i}.memmap")), File.ReadAllBytes(Path.Combine(to, $"shard_{i}.memmap"))));
            Assert.All(Enumerable.Range(0, 3), i => Assert.Equal(File.ReadAllText(Path.Combine(from, $"shard_{i}.meta")), File.ReadAllText(Path.Combine(to, $"shard_{i}.meta"))));
            Assert.All((string[])["mean.pt", "std.pt"], f => Assert.Equal(Numbers(Path.Combine(from, f)), Numbers(Path.Combine(to, f))));
            Assert.Equal(CacheCopies.Ids(Path.Combine(GoldenFiles.Path("cache/f32/base/split"), "tokens.pt")), CacheCopies.Ids(Path.Combine(to, "../tokens.pt")));
            Assert.Equal(CacheCopies.Ids(Path.Combine(GoldenFiles.Path("cache/f32/base/split"), "sequence_ranges.pt")), CacheCopies.Ids(Path.Combine(to, "../sequence_ranges.pt")));
            string config = File.ReadAllText(Path.Combine(to, "config.json"));
            Assert.All((string[])["\"total_size\": 713", "\"shard_count\": 3", "\"d_model\": 20", "\"shuffle_shards\": false", "\"io\": \"out\""], part => Assert.Contains(part, config, StringComparison.Ordinal));
        }

        Assert.Contains(" already; choose an empty folder", Assert.Throws<DiffractException>(() => CacheWriter.Write(run, null, written[0], written[1], _said, default)).Message, StringComparison.Ordinal);
        Assert.Contains("is not called layer_3_out", Assert.Throws<DiffractException>(() => CacheWriter.Write(run, 3, Path.Combine(_folder.Path, "a"), written[1], _said, default)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_changed_cache_is_stale_a_moved_one_is_pointed_at_and_the_statistics_are_counted_where_none_are_stored()
    {
        string place = Path.Combine(_folder.Path, "cache"), moved = Path.Combine(_folder.Path, "moved");
        (string a, string b) = CacheCopies.Of("f32", place);
        double[] mean = Numbers(Path.Combine(a, "mean.pt")), deviation = Numbers(Path.Combine(b, "std.pt"));
        foreach (string file in (string[])["mean.pt", "std.pt"])
        {
            File.Delete(Path.Combine(a, file));
            File.Delete(Path.Combine(b, file));
        }

        RunFolder run = Begin(a, b);
        using (ActivationStore store = ActivationStore.Open(run, 3))
        {
            (double[] mean_E, double[] variance_E) = store.Statistics();
            Assert.All(Enumerable.Range(0, 20), i => Assert.Equal(mean[i], mean_E[i], 1e-6));
            Assert.All(Enumerable.Range(0, 20), i => Assert.Equal(deviation[i], Math.Sqrt(variance_E[20 + i]), 1e-6));
            Assert.Equal("counted from the rows", (string?)store.Manifest.Facts["statistics"]);
        }

        string print = StageManifest.TryLoad(run.Activations(3))!.Fingerprint();
        Directory.Move(place, moved);
        Assert.Contains("put it back", Assert.Throws<DiffractException>(() => ActivationStore.Open(run, 3)).Message, StringComparison.Ordinal);
        (a, b) = (Path.Combine(moved, "base/split", CacheCopies.Layer), Path.Combine(moved, "chat/split", CacheCopies.Layer));
        Begin(a, b);
        ActivationStore.Open(run, 3).Dispose();
        Assert.Equal(print, StageManifest.TryLoad(run.Activations(3))!.Fingerprint());

        string shard = Path.Combine(b, "shard_2.memmap");
        byte[] bytes = File.ReadAllBytes(shard);
        bytes[0] ^= 1;
        File.WriteAllBytes(shard, bytes);
        Assert.Contains("activations/3 is stale: " + shard + " has changed", Assert.Throws<DiffractException>(() => ActivationStore.Open(run, 3)).Message, StringComparison.Ordinal);
        Assert.Contains("was made with other settings", Assert.Throws<DiffractException>(() => Begin(a, b)).Message, StringComparison.Ordinal);
        bytes[0] ^= 1;
        File.WriteAllBytes(shard, bytes);
        ActivationStore.Open(run, 3).Dispose();
        File.Delete(Path.Combine(b, "shard_1.memmap"));
        Assert.Contains("shard_1.memmap is missing", Assert.Throws<DiffractException>(() => ActivationStore.Open(run, 3)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void What_a_cache_lacks_for_a_run_is_said()
    {
        (string a, string b) = CacheCopies.Of("bf16", _folder.Path);
        Assert.Contains("name it with --bos (the first is 2, which comes 19 times)", Refusal(bos: null), StringComparison.Ordinal);
        Assert.Contains("begins with token 2, wanted 7", Refusal(bos: 7), StringComparison.Ordinal);
        Assert.Contains("--layer 4 does not fit", Refusal(layer: 4), StringComparison.Ordinal);
        Assert.Contains("of width 128", Assert.Throws<DiffractException>(() => Begin(a, b, baseModel: BaseModel, chatModel: ChatModel)).Message, StringComparison.Ordinal);
        Assert.Contains("--base is given without --chat", Assert.Throws<DiffractException>(() => Begin(a, b, baseModel: BaseModel)).Message, StringComparison.Ordinal);
        File.Delete(Path.Combine(a, "tokens.pt"));
        File.Delete(Path.Combine(b, "tokens.pt"));
        Assert.Contains("without its tokens", Refusal(), StringComparison.Ordinal);

        string Refusal(int? bos = 2, int? layer = null) => Assert.Throws<DiffractException>(() => Begin(a, b, bos: bos, layer: layer)).Message;
    }

    [Fact]
    public void Ids_that_the_base_model_read_in_place_of_others_are_known()
    {
        (string a, string b) = CacheCopies.Of("f32", _folder.Path);
        (string ofBase, string ofChat) = (Path.Combine(a, "../tokens.pt"), Path.Combine(b, "../tokens.pt"));
        long[] ids = CacheCopies.Ids(ofChat);
        (ids[5], ids[6], ids[9]) = (128006, 128007, 128009);
        CacheCopies.SaveIds(ofChat, ids);
        (ids[5], ids[6], ids[9]) = (1432, 827, 827);
        CacheCopies.SaveIds(ofBase, ids);
        RunFolder run = Begin(a, b);
        using TokenStore tokens = TokenStore.Open(run);
        TokenDocument first = tokens.Documents[0];
        Assert.Equal("128006=1432,128007=827,128009=827", tokens.Replace.ToString());
        Assert.Equal((128006, 1432), (tokens.Ids(first)[5], tokens.Ids(first, 0)[5]));
    }

    [Fact]
    public void A_run_of_the_embedded_pair_comes_back_from_its_caches_with_every_role_and_the_models_are_checked()
    {
        RunFolder run = RunFolder.Create(Path.Combine(_folder.Path, "run"));
        HarvestRuns.Tokenize(run, BaseModel, ChatModel, tokens: 6000, seed: 0);
        using (IBackend backend = HarvestRuns.Backend())
        {
            HarvestStage.Run(new StageContext(run, backend, _said), new HarvestSettings { Layer = 2 });
        }

        string a = Path.Combine(_folder.Path, "out/base/layer_2_out"), b = Path.Combine(_folder.Path, "out/chat/layer_2_out");
        CacheWriter.Write(run, null, a, b, _said, default);
        RunFolder again = Begin(a, b, baseModel: BaseModel, chatModel: ChatModel, name: "again");
        using (TokenStore made = TokenStore.Open(run), back = TokenStore.Open(again))
        {
            Assert.Contains(made.Documents, d => d.Source == TextSource.Chat);
            Assert.Equal(made.Documents.Count, back.Documents.Count);
            foreach ((TokenDocument x, TokenDocument y) in made.Documents.Zip(back.Documents))
            {
                Assert.Equal((x.Start, x.Length, x.Source), (y.Start, y.Length, y.Source));
                Assert.True(made.Ids(x).SequenceEqual(back.Ids(y)));
                Assert.True(made.Roles(x).SequenceEqual(back.Roles(y)), $"roles of document {x.Number}");
                Assert.True(made.Turns(x).SequenceEqual(back.Turns(y)));
                Assert.True(made.BlockPositions(x).SequenceEqual(back.BlockPositions(y)));
            }

            Assert.Equal((0, ModelsKnown.Both), ((int)back.Manifest.Facts["unreadChats"]!, back.Models));
            using ActivationStore first = ActivationStore.Open(run, 2), second = ActivationStore.Open(again, 2);
            Matrix x_BE = Matrix.Host((int)first.Rows, first.E), y_BE = Matrix.Host((int)first.Rows, first.E);
            first.Read(0, x_BE.Rows, x_BE);
            second.Read(0, x_BE.Rows, y_BE);
            Assert.All(Enumerable.Range(0, x_BE.Rows), r => Assert.True(x_BE.Row(r).SequenceEqual(y_BE.Row(r))));
            Assert.Equal(first.Statistics().Mean_E, second.Statistics().Mean_E);
        }

        Assert.All(StageManifest.TryLoad(again.Activations(2))!.Facts["modelsExplain"]!.AsArray(), v => Assert.InRange((double)v!, 0.999, 1));
        Assert.Contains("the base model", Assert.Throws<DiffractException>(() => Begin(a, b, baseModel: ChatModel, chatModel: BaseModel, name: "swapped")).Message, StringComparison.Ordinal);

        RunFolder tokenizer = Begin(a, b, chatModel: ChatModel, name: "tokenizer");
        using TokenStore known = TokenStore.Open(tokenizer);
        Assert.Equal((ModelsKnown.Tokenizer, "the run began from a cache, without the models"), (known.Models, known.NoInterventions));
        Assert.Contains("without --base and --chat", Assert.Throws<DiffractException>(() => known.RequireModels(tokenizer, ModelsKnown.Both)).Message, StringComparison.Ordinal);
    }

    static double[] Numbers(string path)
    {
        using TorchVector vector = TorchVector.Open(path);
        return vector.Doubles();
    }

    RunFolder Begin(string baseCache, string chatCache, string? baseModel = null, string? chatModel = null, int? bos = 2, int? layer = null, string name = "begun")
    {
        RunFolder run = RunFolder.Create(Path.Combine(_folder.Path, name));
        using IBackend backend = HarvestRuns.Backend();
        CacheStage.Run(
            new StageContext(run, backend, _said) { Memory = new MemoryBudget(1L << 40) },
            new CacheSettings { BaseCache = baseCache, ChatCache = chatCache, BaseModel = baseModel, ChatModel = chatModel, Bos = bos, Layer = layer, LeastSplitTokens = 1 });
        return run;
    }
}
