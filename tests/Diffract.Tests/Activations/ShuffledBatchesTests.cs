using Diffract.Activations;
using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Kernels.Tests;
using Diffract.Runs;
using Diffract.Tokens;

namespace Diffract.Tests.Activations;

public sealed class ShuffledBatchesTests : IDisposable
{
    readonly TemporaryFolder _folder = new();
    readonly RunFolder _run;
    readonly TokenStore _tokens;
    readonly ActivationStore _store;

    public ShuffledBatchesTests()
    {
        _run = RunFolder.Create(_folder.Path);
        HarvestRuns.Tokenize(_run, Path.Combine(GoldenFiles.Assets, "base"), Path.Combine(GoldenFiles.Assets, "chat"), tokens: 2000, seed: 0);
        _store = Harvest(shardTokens: 400, layer: 0);
        _tokens = TokenStore.Open(_run);
    }

    public void Dispose()
    {
        _tokens.Dispose();
        _store.Dispose();
        _folder.Dispose();
    }

    [Fact]
    public void A_pass_gives_every_training_token_once_and_the_next_pass_another_order()
    {
        ShuffledBatches batches = new(_store, _tokens, seed: 5);
        string[] training = Stored(_tokens.Documents.Where(d => d.Split == Split.Train).SelectMany(d => Enumerable.Range(0, d.Length).Select(t => d.Start + t)));
        Assert.Equal(training.Length, batches.DistinctTokens);
        string[] drawn = Drawn(batches, 2 * training.Length), first = drawn[..training.Length], second = drawn[training.Length..];
        Assert.Equal(training.Order(StringComparer.Ordinal), first.Order(StringComparer.Ordinal));
        Assert.Equal(training.Order(StringComparer.Ordinal), second.Order(StringComparer.Ordinal));
        Assert.NotEqual(first, second);
        Assert.NotEqual(training, first);
    }

    [Fact]
    public void The_order_is_that_of_the_hash_inside_each_window()
    {
        const int Window = 100;
        ShuffledBatches batches = new(_store, _tokens, seed: 5, window: Window);
        (TokenDocument Document, int Position)[] training = [.. _tokens.Documents.Where(d => d.Split == Split.Train).SelectMany(d => Enumerable.Range(0, d.Length).Select(t => (d, t)))];
        long[] expected = [.. training.Chunk(Window).SelectMany(w => w.OrderBy(t => SeededHash.Of(5, 0, (ulong)t.Document.Number, (ulong)t.Position))).Select(t => t.Document.Start + t.Position)];
        Assert.Equal(Stored(expected), Drawn(batches, expected.Length));
    }

    [Fact]
    public void Shards_and_the_order_of_asking_do_not_matter_but_the_seed_does()
    {
        using ActivationStore other = Harvest(shardTokens: 1000, layer: 0, name: "other");
        ShuffledBatches a = new(_store, _tokens, seed: 5, window: 150), b = new(other, _tokens, seed: 5, window: 150), c = new(other, _tokens, seed: 6, window: 150);
        Matrix x_BE = Matrix.Host(64, 256), y_BE = Matrix.Host(64, 256);
        foreach (long step in (long[])[9, 0, 40, 3, 3])
        {
            a.Fill(step, x_BE);
            b.Fill(step, y_BE);
            Assert.True(Same(x_BE, y_BE));
        }

        c.Fill(3, y_BE);
        Assert.False(Same(x_BE, y_BE));
    }

    [Fact]
    public void A_warm_step_allocates_nothing()
    {
        ShuffledBatches batches = new(_store, _tokens, seed: 5, window: 150);
        Matrix acts_BE = Matrix.Host(64, 256);
        batches.Fill(0, acts_BE);
        batches.Fill(1, acts_BE);
        Assert.Equal(0, Allocations.Least(() =>
        {
            for (int step = 2; step < 40; step++)
            {
                batches.Fill(step, acts_BE);
            }
        }));
    }

    ActivationStore Harvest(int shardTokens, int layer, string? name = null)
    {
        RunFolder run = _run;
        if (name is not null)
        {
            run = RunFolder.Create(Path.Combine(_folder.Path, name));
            HarvestRuns.Tokenize(run, Path.Combine(GoldenFiles.Assets, "base"), Path.Combine(GoldenFiles.Assets, "chat"), tokens: 2000, seed: 0);
        }

        using IBackend backend = HarvestRuns.Backend();
        HarvestStage.Run(new StageContext(run, backend, new SilentProgress()), new HarvestSettings { Layer = layer, ShardTokens = shardTokens, Storage = StorageKind.Float32 });
        return ActivationStore.Open(run, layer);
    }

    /// <summary>The first so many tokens' activations, each as text.</summary>
    static string[] Drawn(ShuffledBatches batches, int count)
    {
        Matrix one_BE = Matrix.Host(1, 256);
        return [.. Enumerable.Range(0, count).Select(i =>
        {
            batches.Fill(i, one_BE);
            return Text(one_BE, 0);
        })];
    }

    /// <summary>The activations of these rows of the store.</summary>
    string[] Stored(IEnumerable<long> rows)
    {
        Matrix all_BE = Matrix.Host((int)_store.Rows, 256);
        _store.Read(0, (int)_store.Rows, all_BE);
        return [.. rows.Select(r => Text(all_BE, (int)r))];
    }

    static string Text(Matrix acts_BE, int row) => Convert.ToBase64String(System.Runtime.InteropServices.MemoryMarshal.AsBytes(acts_BE.Row(row)));

    static bool Same(Matrix a, Matrix b) => Enumerable.Range(0, a.Rows).All(r => a.Row(r).SequenceEqual(b.Row(r)));
}
