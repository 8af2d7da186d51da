using Diffract.Formats;
using Diffract.Latents;
using Diffract.Runs;
using Diffract.Tokens;

namespace Diffract.Tests.Latents;

/// <summary>Buckets against the published tools, template statistics by hand, and the published cache.</summary>
public sealed class BucketStatisticsTests : IDisposable
{
    readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Counts_means_and_maxima_are_those_of_the_published_tools()
    {
        GoldenActivations given = new();
        using SafetensorsFile golden = SafetensorsFile.Open(GoldenFiles.Path("statistics/bucketed.safetensors"));
        BucketStatistics statistics = new(given.Max_L, golden.Floats("edges"));
        foreach (TokenEntry e in given.Entries.SelectMany(e => e))
        {
            statistics.Add(e.Latent, e.Value, e.Value);
        }

        long[] count = golden.Integers("count");
        double[] mean = golden.Doubles("mean");
        float[] max = golden.Floats("max");
        for (int i = 0; i < count.Length; i++)
        {
            (int j, int b) = (i / 5, i % 5);
            Assert.Equal(count[i], statistics.Count(j, b));
            if (count[i] == 0)
            {
                // There an empty bucket has a mean of 0 and a maximum of -inf.
                Assert.True(double.IsNaN(statistics.Mean(j, b)) && double.IsNaN(statistics.Max(j, b)) && double.IsNaN(statistics.Min(j, b)));
                continue;
            }

            Assert.Equal(mean[i], statistics.Mean(j, b), 1e-6 + 1e-5 * mean[i]);
            Assert.Equal(max[i], statistics.Max(j, b), 1e-6);
            // There the zeros of masked tokens are among the minima.
            Assert.True(statistics.Min(j, b) > 0 && statistics.Min(j, b) <= statistics.Mean(j, b));
        }

        Assert.Equal(200, count.Length);
        Assert.Equal(given.Rate_L, Enumerable.Range(0, 40).Select(j => (double)statistics.Count(j) / given.Tokens), (a, b) => Math.Abs(a - b) <= 1e-6);
    }

    [Fact]
    public void Template_statistics_by_hand()
    {
        const byte Bos = (byte)TokenRole.Bos, Ctrl = (byte)TokenRole.Template, User = (byte)TokenRole.User, Answer = (byte)TokenRole.Assistant;
        // bos sot user \n Hi eot \n sot model \n Yes eot \n, then a second turn's sot: numbers 1 to 10, and 1 again.
        byte[] roles = [Bos, Ctrl, Ctrl, Ctrl, User, Ctrl, Ctrl, Ctrl, Ctrl, Ctrl, Answer, Answer | Ctrl, Ctrl, Ctrl];
        TemplateStatistics statistics = new([10f, 1f]);
        Assert.False(statistics.Add([Bos, (byte)TokenRole.Plain], [new TokenEntry(1, 0, 5)]));
        Assert.True(statistics.Add(roles, [
            new(0, 0, 2), new(1, 0, 10), new(4, 0, 4), new(10, 0, 0.5f), new(11, 0, 8), new(13, 0, 6), new(5, 0, 0.001f), new(99, 0, 9)]));
        Assert.Equal((11, 2, 2, 1, 1, 2), (
            statistics.Tokens["ctrl_tokens"], statistics.Tokens["non_ctrl_tokens"], statistics.Tokens["assistant_tokens"], statistics.Tokens["user_tokens"], statistics.Tokens["bos"], statistics.Tokens["ctrl_token_1"]));
        Dictionary<string, double[]> columns = statistics.Columns().ToDictionary(c => c.Column, c => c.Values_L);
        Assert.Equal(3.0 / 11, columns["lmsys_ctrl_freq"][0], 12);
        Assert.Equal(8, columns["ctrl_mean"][0], 6);
        Assert.Equal(10, columns["ctrl_max"][0]);
        Assert.Equal(3.0 / 5, columns["lmsys_ctrl_%"][0], 12);
        Assert.Equal(2.0 / 5, columns["lmsys_non_ctrl_%"][0], 12);
        Assert.Equal(2.0 / 3, columns["lmsys_assistant_%"][0], 12);
        Assert.Equal(1.0 / 3, columns["lmsys_user_%"][0], 12);
        Assert.Equal(1.0 / 6, columns["lmsys_bos_%"][0], 12);
        Assert.Equal(2.0 / 3, columns["lmsys_ctrl_1_%"][0], 12);
        Assert.Equal(1.0 / 3, columns["lmsys_ctrl_9_%"][0], 12);
        Assert.Equal(5.0 / 13, columns["lmsys_freq"][0], 12);
        Assert.Equal((24 + 4.5) / 5, columns["lmsys_avg_act"][0], 6);
        // A latent that never fires has rates of 0 and no shares or means.
        Assert.Equal(0, columns["lmsys_ctrl_freq"][1]);
        Assert.All((string[])["ctrl_mean", "ctrl_max", "lmsys_ctrl_%", "lmsys_user_%", "lmsys_bos_%", "lmsys_ctrl_1_%", "lmsys_avg_act"], c => Assert.True(double.IsNaN(columns[c][1])));
        Assert.Equal(1, statistics.Of("ctrl_tokens").Count(0, 2));

        statistics.Write(_folder.Path);
        Assert.Equal(1 + 15 * 2 * 4, File.ReadAllLines(Path.Combine(_folder.Path, "stats.csv")).Length);
        Assert.Equal(1 + 2, File.ReadAllLines(Path.Combine(_folder.Path, "latent_stats_global.csv")).Length);
        Assert.Equal(1 + 2 * 4, File.ReadAllLines(Path.Combine(_folder.Path, "latent_stats.csv")).Length);
        Assert.Contains("\"ctrl_tokens\": 11", File.ReadAllText(Path.Combine(_folder.Path, "counts.json")), StringComparison.Ordinal);
    }

    [Fact]
    public void The_cache_has_the_published_files()
    {
        GoldenActivations given = new();
        LatentCacheFiles cache = new([5, 2]);
        for (int s = 0; s < 3; s++)
        {
            cache.Add(given.Sequences[s], given.Entries[s]);
        }

        cache.Write(_folder.Path, 0);
        (TokenEntry Entry, int Sequence)[] kept = [.. given.Entries.Take(3).SelectMany((of, s) => of.Where(e => e.Latent is 2 or 5).Select(e => (e, s)))];
        Assert.Equal(kept.Length, cache.Entries);
        Assert.Equal(kept.SelectMany(k => new long[] { k.Sequence, k.Entry.Token, k.Entry.Latent == 5 ? 0 : 1 }), TorchValues.Of<long>(Path.Combine(_folder.Path, "out_ids.pt"), kept.Length, 3));
        Assert.Equal(kept.Select(k => k.Entry.Value), TorchValues.Of<float>(Path.Combine(_folder.Path, "out_acts.pt"), kept.Length));
        Assert.Equal([5L, 2L], TorchValues.Of<long>(Path.Combine(_folder.Path, "latent_ids.pt"), 2));
        Assert.Equal(given.Sequences.Take(3).Select(q => (long)q.Length), TorchValues.Of<long>(Path.Combine(_folder.Path, "seq_lengths.pt"), 3));
        int longest = given.Sequences.Take(3).Max(q => q.Length);
        long[] padded = TorchValues.Of<long>(Path.Combine(_folder.Path, "padded_sequences.pt"), 3, longest);
        Assert.Equal(given.Sequences.Take(3).SelectMany(q => q.Concat(Enumerable.Repeat(0, longest - q.Length)).Select(t => (long)t)), padded);
        Assert.Equal(kept.Length, TorchValues.Of<long>(Path.Combine(_folder.Path, "seq_ranges.pt"), 4)[3]);
        Assert.Equal(new[] { 5, 2 }.Select(j => kept.Where(k => k.Entry.Latent == j).Max(k => k.Entry.Value)), TorchValues.Of<float>(Path.Combine(_folder.Path, "max_activations.pt"), 2));
    }

    [Theory]
    [InlineData("{\"ids\": [1, 2], \"roles\": [1]}", "roles are not 2 numbers")]
    [InlineData("{\"ids\": [1], \"roles\": [300]}", "roles are not 1 numbers")]
    [InlineData("{\"ids\": [1], \"roles\": 1}", "roles are not 1 numbers")]
    public void Roles_that_do_not_fit_are_refused(string line, string wanted)
        => Assert.Contains(wanted, Assert.Throws<DiffractException>(() => TokenLines.Read(_folder.File("o.jsonl", line + "\n"))).Message, StringComparison.Ordinal);
}
