using Diffract.Compute.Kernels;
using Diffract.Compute.Reference;
using Diffract.Cpu;
using Diffract.Crosscoders;
using Diffract.Formats;
using Diffract.Runs;
using Diffract.Scaling;

namespace Diffract.Tests.Scaling;

/// <summary>
/// Every sum and every beta of the reference implementation's closed-form scalers, computed there in double from float32 weights; and what `scale` on loose files refuses.
/// </summary>
public sealed class GoldenScalingTests : IDisposable
{
    readonly string _folder = Directory.CreateTempSubdirectory().FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Theory]
    [InlineData("l1", "reference")]
    [InlineData("batchtopk", "reference")]
    [InlineData("l1", "cpu")]
    [InlineData("batchtopk", "cpu")]
    public void Betas_are_those_of_the_reference_implementation(string dictionary, string device)
    {
        using IBackend backend = device == "cpu" ? new CpuBackend(CpuPaths.Best, 2) : new ReferenceBackend();
        GoldenDictionary.Unpack(dictionary, _folder);
        string output = Path.Combine(_folder, "out.safetensors");
        LooseScaling.Run(backend, new SilentProgress(), _folder, GoldenFiles.Path("scaling/activations.safetensors"), output, false, InputScale.Unsaid, TestContext.Current.CancellationToken);
        using SafetensorsFile golden = SafetensorsFile.Open(GoldenFiles.Path($"scaling/{dictionary}.safetensors"));
        using SafetensorsFile got = SafetensorsFile.Open(output);
        int compared = 0;
        foreach (string name in golden.Tensors.Keys.Where(k => !k.StartsWith(GoldenDictionary.Prefix, StringComparison.Ordinal)))
        {
            double[] wanted = golden.Doubles(name), ours = got.Doubles(name, golden[name].Shape);
            Assert.Equal("F64", got[name].Type);
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

    [Fact]
    public void Activations_of_another_width_are_refused()
    {
        DiffractException e = Refused([1, 2, 23], new float[46]);
        Assert.Contains("x has the shape [1, 2, 23], wanted [N, 2, 24]", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Activations_of_three_models_are_refused()
        => Assert.Contains("[1, 3, 24], wanted [N, 2, 24]", Refused([1, 3, 24], new float[72]).Message, StringComparison.Ordinal);

    [Fact]
    public void A_value_that_is_not_finite_is_named()
    {
        float[] x = new float[3 * 48];
        x[48 + 24 + 5] = float.NaN;
        Assert.Contains("x[1, 1, 5] is NaN", Refused([3, 2, 24], x).Message, StringComparison.Ordinal);
        x[48 + 24 + 5] = float.PositiveInfinity;
        Assert.Contains("x[1, 1, 5]", Refused([3, 2, 24], x).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Activations_without_x_are_refused()
        => Assert.Contains("no tensor x", Refused([1, 2, 24], new float[48], "y").Message, StringComparison.Ordinal);

    [Fact]
    public void An_unset_threshold_is_refused_unless_allowed()
    {
        GoldenDictionary.Unpack("batchtopk", _folder, threshold: -1);
        string output = Path.Combine(_folder, "out.safetensors"), activations = GoldenFiles.Path("scaling/activations.safetensors");
        using ReferenceBackend backend = new();
        DiffractException e = Assert.Throws<DiffractException>(
            () => LooseScaling.Run(backend, new SilentProgress(), _folder, activations, output, false, InputScale.Unsaid, TestContext.Current.CancellationToken));
        Assert.Contains("--allow-unset-threshold", e.Message, StringComparison.Ordinal);
        Assert.False(File.Exists(output));
        LooseScaling.Run(backend, new SilentProgress(), _folder, activations, output, true, InputScale.Unsaid, TestContext.Current.CancellationToken);
        using SafetensorsFile got = SafetensorsFile.Open(output);
        using SafetensorsFile sparse = SafetensorsFile.Open(GoldenFiles.Path("scaling/batchtopk.safetensors"));
        Assert.True(got.Doubles("chat_error.count_active").Sum() > sparse.Doubles("chat_error.count_active").Sum());
    }

    [Fact]
    public void Three_models_are_refused()
    {
        using ReferenceBackend backend = new();
        using Diffract.Crosscoders.Crosscoder crosscoder = new(new(Diffract.Crosscoders.CrosscoderKind.L1, 4, [8, 8, 8]), backend);
        Assert.Contains("two models of one width", Assert.Throws<DiffractException>(() => ScalingModels.Check(crosscoder, "x", false)).Message, StringComparison.Ordinal);
    }

    DiffractException Refused(long[] shape, float[] x, string name = "x")
    {
        GoldenDictionary.Unpack("l1", _folder);
        SafetensorsWriter writer = new();
        writer.Add(name, x, shape);
        writer.Save(Path.Combine(_folder, "x.safetensors"));
        using ReferenceBackend backend = new();
        return Assert.Throws<DiffractException>(() => LooseScaling.Run(
            backend, new SilentProgress(), _folder, Path.Combine(_folder, "x.safetensors"), Path.Combine(_folder, "out.safetensors"), false, InputScale.Unsaid, TestContext.Current.CancellationToken));
    }
}
