using Diffract.Crosscoders;
using Diffract.Latents;
using Diffract.Runs;
using Diffract.Scaling;
using Diffract.Tokens;
using Diffract.Training;

namespace Diffract.Tests.Scaling;

/// <summary>A crosscoder that somebody trained on scaled activations, brought into a run.</summary>
public sealed class ImportScaleTests(ScanRun given) : IClassFixture<ScanRun>
{
    [Fact]
    public void The_copy_keeps_its_factors_and_the_table_its_published_norms()
    {
        using TemporaryFolder folder = new();
        string published = Path.Combine(folder.Path, "published");
        using Crosscoder original = CrosscoderFolder.Load(given.Run.Crosscoder("l1"), given.Backend);
        LayoutWriter.Save(FolderLayout.Blocks, Directory.CreateDirectory(published).FullName, original);
        ImportStage.Run(given.Context(), published, ScanRun.Layer, InputScale.Parse("auto"));

        StageManifest made = StageManifest.TryLoad(given.Run.Crosscoder("published"))!;
        double[] factors = [.. made.Facts["inputScale"]!.AsArray().Select(s => (double)s!)];
        float[][] train = given.Rows(Split.Train).Acts;
        for (int m = 0; m < 2; m++)
        {
            double norm = train.Average(row => Math.Sqrt(row[(m * 128)..((m + 1) * 128)].Sum(x => (double)x * x)));
            Assert.Equal(Math.Sqrt(128) / norm, factors[m], 0.03 * factors[m]);
        }

        Assert.True((bool)made.Facts["inputScaleEstimated"]!);
        Assert.True(double.IsFinite((double)made.Facts["fveUnscaled"]!));

        LatentsStage.Run(given.Context(), new LatentsSettings { Name = "published" });
        LatentTable table = LatentTable.Open(given.Run, "published");
        Assert.All(table.Rows, r => Assert.Equal(original.Norms_LM.Row(r.Latent)[0], r.DecBaseNorm, 1e-6));
        Assert.Contains("the units that the crosscoder was trained in", (string)table.Manifest.Facts["normUnits"]!, StringComparison.Ordinal);

        // In raw units a beta is that of a decoder that was divided by its factor.
        ScaleStage.Run(given.Context(), new ScaleSettings { Name = "published" });
        using Crosscoder copy = CrosscoderFolder.Load(given.Run.Crosscoder("published"), given.Backend);
        using RawDecoder raw = new(copy);
        Assert.Equal(original.WDec_LE.Row(0)[200] / factors[1], raw.WDec_LE.Row(0)[200], 1e-6);

        DiffractException e = Assert.Throws<DiffractException>(() => ImportStage.Run(given.Context(), published, ScanRun.Layer, InputScale.Parse("2")));
        Assert.Contains("inputScale", e.Message, StringComparison.Ordinal);
    }
}
