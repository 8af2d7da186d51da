using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Cpu;
using Diffract.Kernels.Tests;
using Diffract.Llms;
using Diffract.Runs;

namespace Diffract.Tests.Llms;

public sealed class LlmTests
{
    static readonly string Folder = Path.Combine(GoldenFiles.Assets, "chat");

    [Fact]
    public void Batches_threads_and_stops_do_not_change_a_bit()
    {
        using IBackend one = new CpuBackend(CpuPaths.Best, 1), three = new CpuBackend(CpuPaths.Best, 3);
        using Llm llm = Llm.Load(Folder, one), other = Llm.Load(Folder, three);
        int[][] sequences = Sequences(13);
        TokenBatch all = Batch(sequences);
        Matrix resid = one.Matrix(all.Tokens, 128), resid3 = three.Matrix(all.Tokens, 128), whole = one.Matrix(all.Tokens, 128);
        llm.RunTo(all, 3, resid);
        other.RunTo(all, 3, resid3);
        llm.Forward(all, whole, 3, null, [], one.Matrix(1, 4096));
        Assert.Equal(Floats(resid), Floats(resid3));
        Assert.Equal(Floats(resid), Floats(whole));
        int row = 0;
        foreach (int[] sequence in sequences)
        {
            Matrix alone = one.Matrix(Math.Max(sequence.Length, 1), 128).SliceRows(0, sequence.Length);
            llm.RunTo(Batch(sequence), 3, alone);
            Assert.Equal(Floats(alone), Floats(resid.SliceRows(row, sequence.Length)));
            row += sequence.Length;
        }
    }

    [Theory]
    [InlineData(0)]
    [InlineData(3)]
    [InlineData(5)]
    public void Going_on_from_a_residual_stream_is_running_through(int layer)
    {
        using IBackend backend = new CpuBackend(CpuPaths.Best, 2);
        using Llm llm = Llm.Load(Folder, backend);
        TokenBatch batch = Batch(Sequences(7));
        int[] rows = [batch.Tokens - 1, 0, 200, 200, 77];
        Matrix resid = backend.Matrix(batch.Tokens, 128), scratch = backend.Matrix(batch.Tokens, 128);
        Matrix logits = backend.Matrix(rows.Length, 4096), wanted = backend.Matrix(rows.Length, 4096);
        llm.Forward(batch, scratch, -1, null, rows, wanted);
        llm.RunTo(batch, layer, resid);
        float[] before = Floats(resid);
        llm.RunFrom(batch, layer, resid, rows, logits);
        Assert.Equal(Floats(wanted), Floats(logits));
        Assert.Equal(before, Floats(resid));

        // An edit at a row reaches the logits of that row and of later ones of its sequence only.
        resid.Row(77).Clear();
        llm.RunFrom(batch, layer, resid, rows, logits);
        Assert.NotEqual(Floats(wanted.SliceRows(4, 1)), Floats(logits.SliceRows(4, 1)));
        Assert.Equal(Floats(wanted.SliceRows(0, 2)), Floats(logits.SliceRows(0, 2)));
    }

    [Fact]
    public void A_warm_forward_pass_allocates_nothing()
    {
        using IBackend backend = new CpuBackend(CpuPaths.Best, 2);
        using Llm llm = Llm.Load(Folder, backend);
        TokenBatch batch = Batch(Sequences(9));
        Matrix resid = backend.Matrix(batch.Tokens, 128), logits = backend.Matrix(3, 4096);
        int[] rows = [3, 5, 7];
        for (int i = 0; i < 3; i++)
        {
            Pass();
        }

        Assert.Equal(0, Allocations.Least(Pass));

        void Pass()
        {
            llm.RunTo(batch, 3, resid);
            llm.RunFrom(batch, 3, resid, rows, logits);
        }
    }

    [Fact]
    public void Generation_stops_at_an_end_id_when_asked()
    {
        using IBackend backend = new CpuBackend(CpuPaths.Best, 2);
        using Llm llm = Llm.Load(Folder, backend);
        int[] prompt = Sequences(2)[1];
        int[] free = llm.Greedy(prompt, 60, stopAtEnd: false, TestContext.Current.CancellationToken);
        int[] stopped = llm.Greedy(prompt, 60, stopAtEnd: true, TestContext.Current.CancellationToken);
        Assert.Equal(60, free.Length);
        int end = Array.FindIndex(free, id => llm.Config.EndIds.Contains(id));
        Assert.Equal(free.Take(end < 0 ? 60 : end + 1), stopped);
    }

    [Fact]
    public void Seventy_prompts_and_long_ones_are_continued_in_several_passes_and_each_ends_by_itself()
    {
        using IBackend backend = new CpuBackend(CpuPaths.Best, 2);
        using Llm llm = Llm.Load(Folder, backend);
        Random random = new(5);
        int[][] prompts = [.. Enumerable.Range(0, 70).Select(i => Enumerable.Range(0, i == 9 ? 0 : i == 30 ? 1100 : 1 + random.Next(40)).Select(_ => random.Next(4096)).ToArray())];
        int[][] together = llm.GreedyBatch(prompts, 12, stopAtEnd: true, TestContext.Current.CancellationToken);
        Assert.Equal(prompts.Select(p => llm.Greedy(p, 12, stopAtEnd: true, TestContext.Current.CancellationToken)), together);
        Assert.Equal([[], []], llm.GreedyBatch([[5], [6, 7]], 0, stopAtEnd: true, TestContext.Current.CancellationToken));
        Assert.Empty(llm.GreedyBatch([], 5, stopAtEnd: true, TestContext.Current.CancellationToken));
    }

    [Fact]
    public void A_warm_step_of_generation_allocates_nothing_but_its_ids()
    {
        using IBackend backend = new CpuBackend(CpuPaths.Best, 2);
        using Llm llm = Llm.Load(Folder, backend);
        int[][] prompts = [[2, 17, 300], [2, 5]];
        llm.GreedyBatch(prompts, 40, stopAtEnd: false, TestContext.Current.CancellationToken);
        long few = Allocations.Least(() => llm.GreedyBatch(prompts, 8, stopAtEnd: false)), many = Allocations.Least(() => llm.GreedyBatch(prompts, 40, stopAtEnd: false));
        // Two sequences by 32 ids of four bytes, gathered and returned.
        Assert.Equal(2 * 2 * 32 * sizeof(int), many - few);
    }

    [Fact]
    public void An_empty_prompt_starts_from_bos()
    {
        using IBackend backend = new CpuBackend(CpuPaths.Best, 1);
        using Llm llm = Llm.Load(Folder, backend);
        Assert.Equal(llm.Greedy([2], 5, false, TestContext.Current.CancellationToken), llm.Greedy([], 5, false, TestContext.Current.CancellationToken));
    }

    /// <summary>Three chunks of sequences: what lies between two layers must not be written over by the next chunk.</summary>
    [Fact]
    public void Several_layers_of_one_pass_are_those_of_a_pass_for_each()
    {
        using IBackend backend = new CpuBackend(CpuPaths.Best, 2);
        using Llm llm = Llm.Load(Folder, backend);
        TokenBatch batch = Batch(Sequences(33));
        Assert.InRange(batch.Tokens, 2 * 1024, 4096);
        int[] layers = [0, 2, 3, 5];
        Matrix[] together = [.. layers.Select(_ => backend.Matrix(batch.Tokens, 128))];
        llm.RunTo(batch, layers, together);
        Matrix alone = backend.Matrix(batch.Tokens, 128);
        for (int l = 0; l < layers.Length; l++)
        {
            llm.RunTo(batch, layers[l], alone);
            Assert.Equal(Floats(alone), Floats(together[l]));
        }

        Assert.Throws<ArgumentException>(() => llm.RunTo(batch, [2, 2], together.AsSpan(0, 2)));
        Assert.Throws<DiffractException>(() => llm.RunTo(batch, [2, 6], together.AsSpan(0, 2)));
    }

    [Fact]
    public void Layers_and_ids_out_of_range_are_refused()
    {
        using IBackend backend = new CpuBackend(CpuPaths.Best, 1);
        using Llm llm = Llm.Load(Folder, backend);
        TokenBatch batch = Batch([2, 4096]);
        Matrix resid = backend.Matrix(2, 128);
        DiffractException layer = Assert.Throws<DiffractException>(() => llm.RunTo(batch, 6, resid));
        Assert.Contains("layer 6 is out of range: the model has blocks 0 to 5", layer.Message, StringComparison.Ordinal);
        Assert.Equal(DiffractException.BadArguments, layer.ExitCode);
        DiffractException id = Assert.Throws<DiffractException>(() => llm.RunTo(batch, 1, resid));
        Assert.Contains("token id 4096", id.Message, StringComparison.Ordinal);
        Assert.Contains("vocabulary of 4096", id.Message, StringComparison.Ordinal);
    }

    static int[][] Sequences(int count)
    {
        Random random = new(count);
        return [.. Enumerable.Range(0, count).Select(i => Enumerable.Range(0, i == 3 ? 0 : i == 2 ? 1 : random.Next(20, 140)).Select(_ => random.Next(4096)).ToArray())];
    }

    static TokenBatch Batch(params int[][] sequences)
    {
        TokenBatch batch = new(sequences.Sum(s => s.Length), sequences.Length);
        foreach (int[] sequence in sequences)
        {
            batch.Add(sequence);
        }

        return batch;
    }

    static float[] Floats(Matrix matrix)
    {
        float[] values = new float[matrix.Rows * matrix.Columns];
        HostCopies.Download(matrix, values);
        return values;
    }
}
