using System.Text.Json.Nodes;
using Diffract.Compute.Kernels;
using Diffract.Cpu;
using Diffract.Crosscoders;
using Diffract.Latents;
using Diffract.Runs;
using Diffract.Tests.Scaling;

namespace Diffract.Tests.Latents;

/// <summary>Twins against the published tools, by hand, and on loose files.</summary>
public sealed class TwinTests : IDisposable
{
    readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Histograms_and_divergence_are_those_of_the_published_tools()
    {
        GoldenActivations given = new();
        JsonNode golden = JsonNode.Parse(File.ReadAllText(GoldenFiles.Path("statistics/twins.json")))!;
        int compared = 0;
        foreach (string mode in (string[])["rel", "abs"])
        {
            foreach (JsonNode? entry in golden[mode]!.AsArray())
            {
                int a = (int)entry!["pair"]![0]!, b = (int)entry["pair"]![1]!;
                float larger = Math.Max(given.Max_L[a], given.Max_L[b]);
                TwinHistogram histogram = new();
                histogram.Add(given.Tokens, given.Of(a), given.Of(b), mode == "rel" ? given.Max_L[a] : larger, mode == "rel" ? given.Max_L[b] : larger);
                Assert.Equal(entry["histogram"]!.AsArray().SelectMany(row => row!.AsArray().Select(n => (long)n!)), histogram.Counts);
                double wanted = (double)entry["divergence"]!;
                Assert.Equal(wanted, histogram.Divergence(), 1e-6 + 1e-5 * wanted);
                compared++;
            }
        }

        Assert.Equal(8, compared);
    }

    [Fact]
    public void Divergence_by_hand()
    {
        TwinHistogram histogram = new();
        // Both high; first alone high; second high while the first is in the middle; both low.
        histogram.Add(6, [(0, 1f), (1, 0.8f), (3, 0.3f), (4, 0.05f)], [(0, 0.9f), (3, 0.5f), (5, 0.1f)], 1, 1);
        Assert.Equal(6, histogram.Counts.Sum());
        Assert.Equal(1, histogram.Counts[4 * 5 + 4]);
        Assert.Equal(1, histogram.Counts[4 * 5]);
        Assert.Equal(1, histogram.Counts[2 * 5 + 3]);
        Assert.Equal(1, histogram.Counts[1 * 5]);
        // 0.1 lies at an edge: the bucket below it.
        Assert.Equal(1, histogram.Counts[1]);
        Assert.Equal(1.0 / 3, histogram.Divergence(), 1e-9);
    }

    [Fact]
    public void Loose_files_give_pairs_of_the_weights_and_their_control()
    {
        using CpuBackend backend = new(CpuPaths.Best, 2);
        GoldenDictionary.Unpack("l1", _folder.Path);
        PlantTwins(backend, [(3, 90), (5, 91), (7, 92)]);
        string output = Path.Combine(_folder.Path, "o.json");
        LooseTwins.Run(backend, new SilentProgress(), Dictionary(), null, null, 1, output, TestContext.Current.CancellationToken);
        JsonNode got = JsonNode.Parse(File.ReadAllText(output))!;
        JsonArray rel = got["rel"]!.AsArray();
        Assert.Superset(new HashSet<string> { "[3,90]", "[5,91]", "[7,92]" }, rel.Select(e => e!["pair"]!.ToJsonString()).ToHashSet());
        Assert.Equal(rel.Count, rel.Select(e => (int)e!["pair"]![0]!).Distinct().Count());
        Assert.All(rel, e => Assert.True((double)e!["cosine"]! > TwinPairs.CosineAbove));
        Assert.All(rel.Concat(got["abs"]!.AsArray()), e => Assert.Equal(6000, e!["histogram"]!.AsArray().Sum(r => r!.AsArray().Sum(n => (long)n!))));
        JsonArray control = got["control"]!["abs"]!.AsArray();
        Assert.Equal(rel.Select(e => (int)e!["pair"]![1]!).Order(), control.Select(e => (int)e!["pair"]![1]!).Order());
        Assert.All(rel.Zip(control), p => Assert.NotEqual((int)p.First!["pair"]![1]!, (int)p.Second!["pair"]![1]!));

        // Pairs that are given, of a maximum that is given: the same histogram.
        string pairs = _folder.File("p.json", "[[3, 90]]"), named = Path.Combine(_folder.Path, "named.json");
        LooseTwins.Run(backend, new SilentProgress(), Dictionary(), pairs, null, 1, named, TestContext.Current.CancellationToken);
        JsonNode single = JsonNode.Parse(File.ReadAllText(named))!;
        Assert.Equal(rel.Single(e => (int)e!["pair"]![0]! == 3)!["histogram"]!.ToJsonString(), single["rel"]![0]!["histogram"]!.ToJsonString());
        Assert.Empty(single["control"]!["rel"]!.AsArray());
    }

    [Theory]
    [InlineData("[[1, 2, 3]]", "entry 0 is no pair")]
    [InlineData("[[1, 128]]", "entry 0 is no pair of latents from 0 to 127")]
    [InlineData("[]", "holds no pair")]
    [InlineData("{}", "is not a JSON array of pairs")]
    public void Pairs_that_are_none_are_refused(string text, string wanted)
        => Assert.Contains(wanted, Assert.Throws<DiffractException>(() => TwinPairs.Read(_folder.File("p.json", text), 128)).Message, StringComparison.Ordinal);

    LooseReading Dictionary() => new() { Folder = _folder.Path, Activations = GoldenFiles.Path("scaling/activations.safetensors") };

    /// <summary>Makes some latents chat-only, others base-only, of one direction.</summary>
    void PlantTwins(IBackend backend, (int Chat, int Base)[] pairs)
    {
        using Crosscoder crosscoder = CrosscoderFolder.Load(_folder.Path, backend);
        foreach ((int chat, int b) in pairs)
        {
            Span<float> ofChat = crosscoder.WDec_LE.Row(chat), ofBase = crosscoder.WDec_LE.Row(b);
            ofChat[24..].CopyTo(ofBase);
            ofChat[..24].Clear();
            ofBase[24..].Clear();
        }

        CrosscoderFolder.Save(_folder.Path, crosscoder);
    }
}
