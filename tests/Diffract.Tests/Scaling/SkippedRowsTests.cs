using Diffract.Activations;
using Diffract.Compute.Buffers;
using Diffract.Latents;
using Diffract.Scaling;
using Diffract.Tokens;

namespace Diffract.Tests.Scaling;

/// <summary>A run whose documents' first five positions are not stored, beside the same run with all of them.</summary>
public sealed class SkippedRowsTests : IDisposable
{
    const int Skip = 5;
    readonly ScanRun _whole = new(0), _skipped = new(Skip);

    public void Dispose()
    {
        _whole.Dispose();
        _skipped.Dispose();
    }

    [Fact]
    public void Stored_rows_are_those_of_the_whole_run_and_their_statistics_theirs_alone()
    {
        (float[][] whole, byte[] wholeRoles) = All(_whole);
        (float[][] skipped, byte[] skippedRoles) = All(_skipped);
        int[] kept = Kept();
        Assert.Equal(kept.Length, skipped.Length);
        Assert.All(kept.Index(), k => Assert.Equal(whole[k.Item], skipped[k.Index]));
        Assert.Equal(kept.Select(k => wholeRoles[k]), skippedRoles);

        using ActivationStore store = ActivationStore.Open(_skipped.Run, ScanRun.Layer);
        (double[] mean_E, double[] variance_E) = store.Statistics();
        for (int e = 0; e < store.E; e += 37)
        {
            double mean = skipped.Average(r => (double)r[e]), variance = skipped.Sum(r => (r[e] - mean) * (r[e] - mean)) / (skipped.Length - 1);
            Assert.Equal(mean, mean_E[e], 1e-2 * Math.Sqrt(variance));
            Assert.Equal(variance, variance_E[e], 1e-2 * variance);
        }
    }

    [Fact]
    public void Training_batches_hold_every_stored_row_once_and_no_other()
    {
        using TokenStore tokens = TokenStore.Open(_skipped.Run);
        using ActivationStore store = ActivationStore.Open(_skipped.Run, ScanRun.Layer);
        ShuffledBatches batches = new(store, tokens, seed: 3);
        Matrix acts_BE = Matrix.Host((int)batches.DistinctTokens, store.E);
        using IBuffer owner = acts_BE.Buffer;
        batches.Fill(0, acts_BE);
        Assert.Equal(tokens.Documents.Where(d => d.Split == Split.Train).Sum(d => (long)d.Rows), batches.DistinctTokens);
        Assert.Equal(
            _skipped.Rows(Split.Train).Acts.Select(r => r[0]).Order(), Enumerable.Range(0, acts_BE.Rows).Select(i => acts_BE.Row(i)[0]).Order());
    }

    [Fact]
    public void Latent_activations_stand_at_the_tokens_own_positions()
    {
        LatentsStage.Run(_whole.Context(), new LatentsSettings { Name = "batchtopk" });
        LatentsStage.Run(_skipped.Context(), new LatentsSettings { Name = "batchtopk" });
        using LatentActivations whole = LatentActivations.Open(_whole.Run, "batchtopk"), skipped = LatentActivations.Open(_skipped.Run, "batchtopk");
        Assert.Equal(whole.DocumentNumbers, skipped.DocumentNumbers);
        Assert.Equal(whole.Tokens - (Skip * whole.DocumentNumbers.Count), skipped.Tokens);
        long entries = 0;
        for (int j = 0; j < whole.Latents; j++)
        {
            Assert.Equal(whole.OfLatent(j).Where(a => a.Token >= Skip), skipped.OfLatent(j));
            entries += skipped.Count(j);
        }

        Assert.True(entries > 1000);
        int document = whole.DocumentNumbers[1];
        Assert.Equal(whole.OfDocument(document).Where(a => a.Token >= Skip), skipped.OfDocument(document));
    }

    [Fact]
    public void Latent_scaling_sums_the_stored_rows()
    {
        ScaleStage.Run(_skipped.Context(), new ScaleSettings { Name = "batchtopk" });
        long rows = _skipped.Rows(Split.Scaling).Acts.Length;
        Assert.Equal(rows, (long)Diffract.Runs.StageManifest.TryLoad(_skipped.Run.Scaling("batchtopk"))!.Facts["tokens"]!);
    }

    static (float[][] Acts, byte[] Roles) All(ScanRun run)
    {
        (float[][] Acts, byte[] Roles)[] splits = [.. Enum.GetValues<Split>().Select(run.Rows)];
        return ([.. splits.SelectMany(s => s.Acts)], [.. splits.SelectMany(s => s.Roles)]);
    }

    /// <summary>Which rows of the whole run, split after split, are no first positions.</summary>
    int[] Kept()
    {
        using TokenStore tokens = TokenStore.Open(_whole.Run);
        int[] positions = [.. Enum.GetValues<Split>().SelectMany(s => tokens.Documents.Where(d => d.Split == s)).SelectMany(d => Enumerable.Range(0, d.Length))];
        return [.. positions.Index().Where(p => p.Item >= Skip).Select(p => p.Index)];
    }
}
