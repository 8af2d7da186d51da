using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Compute.Reference;
using Diffract.Cpu;
using Diffract.Formats;
using Diffract.Scaling;

namespace Diffract.Tests.Scaling;

/// <summary>Every sum and every beta of the reference implementation's closed-form scalers, computed there in double from float32 weights.</summary>
public sealed class GoldenScalingTests
{
    [Theory]
    [InlineData("l1", "reference")]
    [InlineData("batchtopk", "reference")]
    [InlineData("l1", "cpu")]
    [InlineData("batchtopk", "cpu")]
    public void Betas_are_those_of_the_reference_implementation(string dictionary, string device)
    {
        using IBackend backend = device == "cpu" ? new CpuBackend(CpuPaths.Best, 2) : new ReferenceBackend();
        using SafetensorsFile golden = SafetensorsFile.Open(GoldenFiles.Path($"scaling/{dictionary}.safetensors"));
        using SafetensorsFile activations = SafetensorsFile.Open(GoldenFiles.Path("scaling/activations.safetensors"));
        using GoldenDictionary weights = new(golden);
        using BetaSums sums = new(backend.Scaling, weights.WDec, weights.Offsets, blocks: 3);
        Matrix acts = weights.Acts(activations);
        for (int first = 0, batch = 0; first < acts.Rows; first += 1000, batch++)
        {
            Matrix acts_BE = acts.SliceRows(first, Math.Min(1000, acts.Rows - first));
            using SparseCode code = weights.Encode(acts_BE);
            Matrix recon_BE = weights.Decode(code);
            sums.Add(batch % 3, code, acts_BE, recon_BE);
            recon_BE.Buffer.Dispose();
        }

        acts.Buffer.Dispose();
        string path = Path.Combine(Path.GetTempPath(), Path.GetRandomFileName());
        SafetensorsWriter writer = new();
        ScalingTensors.Add(writer, sums, new LatentProducts(weights.WDec, weights.BDec, weights.Offsets));
        writer.Save(path);
        try
        {
            using SafetensorsFile got = SafetensorsFile.Open(path);
            Compare(golden, got);
        }
        finally
        {
            File.Delete(path);
        }
    }

    static void Compare(SafetensorsFile golden, SafetensorsFile got)
    {
        int compared = 0;
        foreach (string name in golden.Tensors.Keys.Where(k => !k.StartsWith("dictionary.", StringComparison.Ordinal)))
        {
            double[] wanted = golden.Doubles(name), ours = got.Doubles(name, golden[name].Shape);
            for (int j = 0; j < wanted.Length; j++)
            {
                bool equal = name.EndsWith(".count_active", StringComparison.Ordinal)
                    ? ours[j] == wanted[j]
                    : double.IsNaN(wanted[j]) ? double.IsNaN(ours[j]) : Math.Abs(ours[j] - wanted[j]) <= 1e-6 + 1e-5 * Math.Abs(wanted[j]);
                Assert.True(equal, $"{name}[{j}] is {ours[j]:R}, wanted {wanted[j]:R}");
            }

            compared++;
        }

        Assert.Equal(40, compared);
        Assert.Equal(40, got.Tensors.Count);
    }
}
