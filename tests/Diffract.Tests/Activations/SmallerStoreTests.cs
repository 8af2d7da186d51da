using Diffract.Activations;
using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Formats;
using Diffract.Runs;
using Diffract.Tokens;

namespace Diffract.Tests.Activations;

/// <summary>The smaller store that a streamed training keeps for the stages after it.</summary>
public sealed class SmallerStoreTests : IDisposable
{
    const int Most = 300;

    readonly TemporaryFolder _folder = new();
    readonly IBackend _backend = HarvestRuns.Backend();

    public void Dispose()
    {
        _backend.Dispose();
        _folder.Dispose();
    }

    [Fact]
    public void It_keeps_the_first_documents_of_each_split_but_training_under_their_own_rows_and_refuses_the_others()
    {
        RunFolder whole = Harvested("whole", null), small = Harvested("small", Most);
        using TokenStore tokens = TokenStore.Open(whole);
        using ActivationStore all = ActivationStore.Open(whole, 1), kept = ActivationStore.Open(small, 1);
        Assert.Equal((null, (long?)Most), (all.KeepTokens, kept.KeepTokens));
        Dictionary<(Split, TextSource), int> rows = [];
        int there = 0;
        foreach (TokenDocument d in tokens.Documents)
        {
            bool expected = d.Split != Split.Train && rows.GetValueOrDefault((d.Split, d.Source)) < Most;
            Assert.True(all.Holds(d));
            Assert.Equal(expected, kept.Holds(d));
            Matrix a_BE = Matrix.Host(d.Rows, 256), b_BE = Matrix.Host(d.Rows, 256);
            long[] numbers = [.. Enumerable.Range(0, d.Rows).Select(r => d.FirstRow + r).Reverse()];
            if (!expected)
            {
                Assert.Contains("not all in this smaller store", Assert.Throws<DiffractException>(() => kept.Read(d.FirstRow, d.Rows, b_BE)).Message, StringComparison.Ordinal);
                Assert.Throws<DiffractException>(() => kept.Gather(numbers, b_BE));
                continue;
            }

            rows[(d.Split, d.Source)] = rows.GetValueOrDefault((d.Split, d.Source)) + d.Rows;
            there += d.Rows;
            all.Read(d.FirstRow, d.Rows, a_BE);
            kept.Read(d.FirstRow, d.Rows, b_BE);
            AssertSame(a_BE, b_BE);
            all.Gather(numbers, a_BE);
            kept.Gather(numbers, b_BE);
            AssertSame(a_BE, b_BE);
        }

        Assert.Equal(there, kept.Rows);
        Assert.InRange(there, 2 * Most, all.Rows / 2);
        TokenDocument first = tokens.Documents.First(d => d.Split == Split.Train);
        string refused = Assert.Throws<DiffractException>(() => new ShuffledBatches(kept, tokens, seed: 1)).Message;
        Assert.Contains($"the smaller store that `train --stream` keeps, without document {first.Number} (Train)", refused, StringComparison.Ordinal);
    }

    [Fact]
    public void Rows_that_do_not_ascend_or_do_not_fit_the_shards_are_refused()
    {
        RunFolder run = Harvested("damaged", Most);
        Assert.Contains("stretch 1 of runs does not follow", Refused([0, 5, 4, 3]), StringComparison.Ordinal);
        Assert.Contains("stretch 0 of runs does not follow", Refused([0, 0]), StringComparison.Ordinal);
        Assert.Contains("its rows.safetensors names 8", Refused([0, 5, 6, 3]), StringComparison.Ordinal);
        Assert.Contains("does not hold runs [n, 2]", Refused([0, 5, 6]), StringComparison.Ordinal);

        string Refused(long[] runs)
        {
            SafetensorsWriter writer = new();
            writer.Add("runs", runs, runs.Length % 2 == 0 ? [runs.Length / 2, 2] : [runs.Length]);
            string folder = run.Activations(1);
            FileSeal seal = writer.Save(Path.Combine(folder, "rows.safetensors"));
            StageManifest made = StageManifest.TryLoad(folder)!;
            made.Outputs["rows.safetensors"] = seal;
            made.Save(folder);
            return Assert.Throws<DiffractException>(() => ActivationStore.Open(run, 1)).Message;
        }
    }

    RunFolder Harvested(string name, long? keep)
    {
        RunFolder run = RunFolder.Create(Path.Combine(_folder.Path, name));
        HarvestRuns.Tokenize(run, Pairs.Base, Pairs.Chat, tokens: 6000, seed: 2);
        HarvestStage.Run(new StageContext(run, _backend, new SilentProgress()), new HarvestSettings { Layer = 1, ShardTokens = 400, KeepTokens = keep });
        return run;
    }

    static void AssertSame(Matrix a_BE, Matrix b_BE)
    {
        for (int r = 0; r < a_BE.Rows; r++)
        {
            Assert.True(a_BE.Row(r).SequenceEqual(b_BE.Row(r)));
        }
    }
}
