using System.Text.Json.Nodes;
using Diffract.Formats;
using Diffract.Latents;

namespace Diffract.Tests.Pipeline;

public sealed class UnequalWidthsRunTests(UnequalPair given) : IClassFixture<UnequalPair>
{
    [Fact]
    public void Every_stage_that_needs_no_common_space_is_made()
    {
        Assert.Empty(given.Errors);
        using (SafetensorsFile model = SafetensorsFile.Open(Path.Combine(given.Folder, "crosscoders", "batchtopk", "model.safetensors")))
        {
            Assert.Equal([192, UnequalPair.Narrow], model["decoder.weight.0"].Shape);
            Assert.Equal([UnequalPair.Wide, 192], model["encoder.weight.1"].Shape);
        }

        JsonNode trained = Json("crosscoders/batchtopk/manifest.json");
        Assert.Equal((UnequalPair.Narrow, UnequalPair.Wide), ((int)trained["settings"]!["widths"]![0]!, (int)trained["settings"]!["widths"]![1]!));
        Assert.False((bool)trained["settings"]!["sameInit"]!);
        Assert.True((double)trained["facts"]!["fveByModel"]![0]! > 0.2, "the narrow model is explained too");

        LatentRow[] rows = LatentTable.Read(Path.Combine(given.Folder, "latents", "batchtopk", "latents.csv"));
        Assert.All(rows, r => Assert.True(double.IsNaN(r.DecCosine) && double.IsFinite(r.DeltaNorm)));
        Assert.Contains(rows, r => r.Rate > 0);
        Assert.True(File.Exists(Path.Combine(given.Folder, "report", "index.html")));
    }

    [Fact]
    public void What_needs_one_is_left_out_with_the_reason()
    {
        string[] leftOut = [.. Json("evidence/batchtopk/manifest.json")["facts"]!["leftOut"]!.AsArray().Select(l => (string)l!)];
        Assert.Contains(leftOut, l => l.StartsWith("interventions: the models' widths differ", StringComparison.Ordinal));
        Assert.Contains(leftOut, l => l.StartsWith("Latent Scaling: the models' widths differ", StringComparison.Ordinal));
        string report = File.ReadAllText(Path.Combine(given.Folder, "report", "report.json")).Replace("\\u0027", "'", StringComparison.Ordinal);
        Assert.Contains("Latent Scaling does not apply, since the models' widths differ", report, StringComparison.Ordinal);
        Assert.Contains("no activation of the base model fits into the chat model", report, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("models of width 96 and 128", "scale", "run")]
    [InlineData("cannot hold models of widths 96 and 128", "export", "--crosscoder", "run/crosscoders/batchtopk", "--to", "blocks", "--out", "blocks")]
    public void Called_alone_it_is_refused_by_name(string message, params string[] call)
    {
        (int code, _, string error) = given.Run(call);
        Assert.NotEqual(0, code);
        Assert.Contains(message, error, StringComparison.Ordinal);
        Assert.Single(error.TrimEnd().Split('\n'));
    }

    JsonNode Json(string path) => JsonNode.Parse(File.ReadAllText(Path.Combine(given.Folder, path)))!;
}
