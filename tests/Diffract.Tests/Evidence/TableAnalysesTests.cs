using System.Text.Json.Nodes;
using Diffract.Compute.Reference;
using Diffract.Evidence;
using Diffract.Latents;
using Diffract.Runs;
using Diffract.Tests.Scaling;

namespace Diffract.Tests.Evidence;

/// <summary>The distributions of a table by hand.</summary>
public sealed class TableAnalysesTests : IDisposable
{
    const string Table = """
        ,tag,dec_norm_diff,freq_val,beta_ratio_error,beta_ratio_reconstruction,beta_error_base,beta_error_chat,lmsys_ctrl_%
        0,Chat only,0.01,0.1,0.1,0.4,0.1,1,0.9
        1,Chat only,0.03,0.2,0.3,0.2,0.3,1,0.1
        2,Chat only,0.01,0.3,0.5,0.1,-0.5,1,
        3,Chat only,0.05,0.4,,0.1,,1,0.6
        4,Shared,0.5,0.01,0.9,0.9,0.9,1,0.2
        5,Other,,,,,,,

        """;

    readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Every_part_by_hand()
    {
        JsonNode got = JsonNode.Parse(new TableAnalyses(FeatureTable.Read(_folder.File("t.csv", Table))).ToJson(null).ToJsonString(Provenance.Json))!;
        Assert.Equal((4, true, 0), ((int)got["latents"]!, (bool)got["few"]!, got["missing"]!.AsObject().Count));

        JsonNode ratios = got["ratios"]!;
        Assert.Equal(1, (int)ratios["withoutNumber"]!);
        Assert.Equal([0, 1, 2], ratios["scatter"]!.AsArray().Select(p => (int)p![0]!));
        int[] below = [.. ratios["belowThreshold"]!.AsArray().Select(n => (int)n!)];
        double[] at = [.. ratios["thresholds"]!.AsArray().Select(t => (double)t!)];
        Assert.Equal(100, below.Length);
        Assert.Equal(at.Select(t => (t > 0.4 ? 1 : 0) + (t > 0.3 ? 1 : 0) + (t > 0.5 ? 1 : 0)), below);
        // The latent with a base beta below 0 and the one without a number are no part of the histogram.
        Assert.Equal(2, Sum(ratios["errorRatio"]!));
        Assert.Equal((0.1, 0.3), ((double)ratios["errorRatio"]!["low"]!, (double)ratios["errorRatio"]!["high"]!));

        Assert.Equal(1, (double)got["frequency"]!["error"]!["pearson"]!, 12);
        Assert.Equal((3, 4), ((int)got["frequency"]!["error"]!["n"]!, (int)got["frequency"]!["reconstruction"]!["n"]!));
        // Norm differences 0.01, 0.03, 0.01, 0.05: ranks 1.5, 3, 1.5, 4.
        Assert.Equal([1.5, 1.5, 3], got["rankCurves"]!["error"]!.AsArray().Select(r => (double)r!));
        Assert.Equal([1.5, 1.5, 3, 4], got["rankCurves"]!["reconstruction"]!.AsArray().Select(r => (double)r!));
        Assert.Equal((2, 1, 3), ((int)got["templateOverlay"]!["latents"]!, Sum(got["templateOverlay"]!["error"]!), Sum(got["templateOverlay"]!["errorAll"]!)));

        JsonNode norm = got["histograms"]!["dec_norm_diff"]!;
        Assert.Equal((4, 1, 0, 1), (Sum(norm["Chat only"]!), Sum(norm["Shared"]!), Sum(norm["Other"]!), (int)norm["without"]!));
        Assert.Equal(2, (int)norm["Chat only"]!["counts"]![1]!);
    }

    [Fact]
    public void A_part_without_its_columns_is_left_out_and_named()
    {
        ListProgress progress = new();
        using ReferenceBackend backend = new();
        string output = Path.Combine(_folder.Path, "a.json"), path = _folder.File("t.csv", ",tag,note\n0,Chat only,x\n");
        LooseAnalyses.Run(backend, progress, [path], null, null, 0.9, output, TestContext.Current.CancellationToken);
        JsonNode got = JsonNode.Parse(File.ReadAllText(output))!;
        Assert.Null(got["ratios"]);
        Assert.Equal(["beta_ratio_error", "beta_ratio_reconstruction"], got["missing"]!["ratios"]!.AsArray().Select(c => (string)c!));
        Assert.Contains(progress.Warnings, w => w.Contains("fewer than 20", StringComparison.Ordinal));
        Assert.Contains(progress.Warnings, w => w.StartsWith("frequency is left out: the table lacks", StringComparison.Ordinal));
    }

    [Fact]
    public void Tables_are_joined_and_similar_latents_grouped()
    {
        using ReferenceBackend backend = new();
        GoldenDictionary.Unpack("l1", _folder.Path);
        using (Diffract.Crosscoders.Crosscoder crosscoder = Diffract.Crosscoders.CrosscoderFolder.Load(_folder.Path, backend))
        {
            // A chain: 3 to 7 to 9, which 3 and 9 themselves do not make.
            Span<float> a = crosscoder.WDec_LE.Row(3)[24..], b = crosscoder.WDec_LE.Row(7)[24..], c = crosscoder.WDec_LE.Row(9)[24..];
            a.Clear();
            b.Clear();
            c.Clear();
            (a[0], b[0], b[1], c[0], c[1]) = (1, 2, 0.8f, 1, 0.8f);
            Diffract.Crosscoders.CrosscoderFolder.Save(_folder.Path, crosscoder);
        }

        string first = _folder.File("a.csv", ",tag,freq\n" + string.Concat(Enumerable.Range(0, 128).Select(j => $"{j},Chat only,0.1\n")));
        string second = _folder.File("b.csv", ",freq,dec_norm_diff\n" + string.Concat(Enumerable.Range(0, 128).Select(j => $"{j},0.2,0.01\n")));
        string output = Path.Combine(_folder.Path, "out.json");
        LooseAnalyses.Run(backend, new SilentProgress(), [first, second], _folder.File("l.json", "[1, 2]"), _folder.Path, 0.9, output, TestContext.Current.CancellationToken);
        JsonNode got = JsonNode.Parse(File.ReadAllText(output))!;
        Assert.Equal(2, (int)got["latents"]!);
        Assert.NotNull(got["histograms"]!["dec_norm_diff"]);
        Assert.Contains("[3,7,9]", got["similarity"]!["groups"]!.AsArray().Select(g => g!.ToJsonString()));
        Assert.Contains("has 1 latents", Assert.Throws<DiffractException>(() => LooseAnalyses.Run(
            backend, new SilentProgress(), [first, _folder.File("c.csv", ",x\n0,1\n")], null, null, 0.9, output, TestContext.Current.CancellationToken)).Message, StringComparison.Ordinal);
    }

    static int Sum(JsonNode histogram) => histogram["counts"]!.AsArray().Sum(n => (int)n!);
}
