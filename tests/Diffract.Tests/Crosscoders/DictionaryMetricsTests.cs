using System.Text.Json.Nodes;
using Diffract.Compute.Buffers;
using Diffract.Compute.Reference;
using Diffract.Crosscoders;
using Diffract.Formats;
using Diffract.Tests.Scaling;

namespace Diffract.Tests.Crosscoders;

/// <summary>The evaluator's numbers by hand and against a pooled variance explained that was computed elsewhere.</summary>
public sealed class DictionaryMetricsTests
{
    [Fact]
    public void Variance_explained_is_the_pooled_one()
    {
        using SafetensorsFile golden = SafetensorsFile.Open(GoldenFiles.Path("statistics/numbers.safetensors"));
        float[] x = golden.Floats("x"), y = golden.Floats("y");
        JsonObject json = Of([6, 6], x, y, 12);
        Assert.Equal(golden.Doubles("fve_pooled")[0], (double)json["frac_variance_explained"]!, 1e-6);
        double length = 0;
        for (int b = 0; b < 1000; b++)
        {
            length += Math.Sqrt(Enumerable.Range(b * 12, 12).Sum(i => ((double)x[i] - y[i]) * (x[i] - y[i]))) / 1000;
        }

        Assert.Equal(length, (double)json["l2_loss"]!, 1e-9);
        Assert.Equal(2, json["models"]!.AsArray().Count);
    }

    [Fact]
    public void By_hand()
    {
        // Halved, then doubled: cosines 1, ratios ½ and 2, squares ¼·1 + 4·4 over products ½ + 8.
        JsonObject json = Of([2], [1, 0, 0, 2], [0.5f, 0, 0, 4], 2);
        Assert.Equal(1, (double)json["cossim"]!, 12);
        Assert.Equal(1.25, (double)json["l2_ratio"]!, 12);
        Assert.Equal(16.25 / 8.5, (double)json["relative_reconstruction_bias"]!, 12);
        Assert.Equal(1.25, (double)json["l2_loss"]!, 12);
        Assert.Equal(1, (double)json["l0"]!);
        Assert.Equal(1.5, (double)json["l1_loss"]!);
        Assert.Equal(0.5, (double)json["frac_alive"]!);
    }

    /// <summary>One latent of two is active on every token, with the values 1 and 2.</summary>
    static JsonObject Of(int[] widths, float[] x, float[] y, int e)
    {
        using ReferenceBackend backend = new();
        using Crosscoder crosscoder = new(new CrosscoderConfig(CrosscoderKind.L1, 2, widths), backend);
        int tokens = x.Length / e;
        Matrix acts_BE = Matrix.Host(tokens, e), recon_BE = Matrix.Host(tokens, e);
        using IBuffer acts = acts_BE.Buffer, recon = recon_BE.Buffer;
        backend.Upload(x, acts_BE);
        backend.Upload(y, recon_BE);
        using Diffract.Compute.Kernels.SparseCode code = SparseCodes.From([.. Enumerable.Range(0, tokens).Select(b => new[] { 0f, b % 2 + 1 })]);
        DictionaryMetrics metrics = new(crosscoder);
        metrics.Add(acts_BE, recon_BE, code);
        return metrics.ToJson();
    }
}
