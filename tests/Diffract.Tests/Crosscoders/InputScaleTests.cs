using System.Globalization;
using Diffract.Compute.Reference;
using Diffract.Crosscoders;
using Diffract.Formats;
using Diffract.Runs;
using Diffract.Tests.Cli;

namespace Diffract.Tests.Crosscoders;

/// <summary>Dictionaries that were trained on scaled activations, over the golden one of the blocks layout.</summary>
public sealed class InputScaleTests : IDisposable
{
    static readonly double[] Factors = [0.5, 3];

    readonly TemporaryFolder _folder = new();
    readonly ReferenceBackend _backend = new();
    readonly float[] _x_NE;

    public InputScaleTests()
    {
        using SafetensorsFile run = SafetensorsFile.Open(GoldenFiles.Path("crosscoder/l1/run.safetensors"));
        _x_NE = run.Floats("eval.x");
    }

    static string Golden => GoldenFiles.Path("crosscoder/files/blocks_style");

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Raw_activations_with_factors_are_encoded_as_scaled_ones_without()
    {
        (float[] wantedCode, float[] wantedRecon) = Encode("scaled", Golden, Times(_x_NE, Factors), "none");
        (float[] code, float[] recon) = Encode("raw", Golden, _x_NE, "0.5,3");
        Close.Max(wantedCode, code, 1e-6, "code");
        Close.Max(Times(wantedRecon, [1 / Factors[0], 1 / Factors[1]]), recon, 1e-6, "reconstruction in raw units");
    }

    [Fact]
    public void A_saved_copy_keeps_factors_norms_and_codes()
    {
        using Crosscoder crosscoder = CrosscoderFolder.Load(Golden, _backend), published = CrosscoderFolder.Load(Golden, _backend);
        crosscoder.ScaleInputs(Factors);
        CrosscoderFolder.Save(_folder.Path, crosscoder);
        using Crosscoder copy = CrosscoderFolder.Load(_folder.Path, _backend);
        Assert.Equal([0.5f, 3f], copy.Normalisation!.Scale_M);
        Assert.True(copy.Normalisation.OnlyScales);
        for (int j = 0; j < published.Latents; j++)
        {
            Assert.Equal(published.Norms_LM.Row(j).ToArray(), copy.Norms_LM.Row(j).ToArray());
        }

        // Other loaders work g out of σ.
        ActivationNorm derived = ActivationNorm.From(copy.Normalisation.Mean_E, copy.Normalisation.Std_E, copy.Normalisation.TargetRms, copy.ModelOffsets);
        Assert.All(Enumerable.Range(0, 2), m => Assert.Equal(Factors[m], derived.Scale_M[m], 1e-6 * Factors[m]));
        (float[] code, _) = Encode("copy", _folder.Path, _x_NE, null);
        (float[] wanted, _) = Encode("given", Golden, _x_NE, "0.5,3");
        Assert.Equal(wanted, code);
    }

    [Fact]
    public void Estimated_factors_bring_the_mean_norm_to_the_root_of_the_width()
    {
        using Crosscoder crosscoder = CrosscoderFolder.Load(Golden, _backend);
        LooseActivations acts = new(_x_NE, crosscoder.ModelOffsets);
        Lines lines = new();
        InputScaling scaling = InputScaling.Apply(crosscoder, Golden, InputScale.Parse("auto"), acts, acts, "encode", lines, CancellationToken.None);
        for (int m = 0; m < 2; m++)
        {
            double norms = Enumerable.Range(0, acts.Rows).Sum(t => Math.Sqrt(Enumerable.Range(0, 16).Sum(d => Math.Pow(_x_NE[(t * 32) + (m * 16) + d], 2))));
            Assert.Equal(4, scaling.Factors![m] * norms / acts.Rows, 1e-9);
        }

        Assert.Contains("variance explained", Assert.Single(lines.Texts), StringComparison.Ordinal);
        Assert.True(scaling.Estimated);
    }

    [Theory]
    [InlineData(true, true)]
    [InlineData(true, false)]
    [InlineData(false, false)]
    public void When_nothing_is_said_of_blocks_published_ones_get_the_factors_that_explain_more(bool trainedOnScaled, bool published)
    {
        using Crosscoder crosscoder = CrosscoderFolder.Load(Golden, _backend);
        LooseActivations acts = new(_x_NE, crosscoder.ModelOffsets);
        double[] factors = InputScaling.Apply(crosscoder, Golden, InputScale.Parse("auto"), acts, acts, "encode", new Lines(), CancellationToken.None).Factors!;
        crosscoder.ScaleInputs(null);
        string folder = Golden;
        if (trainedOnScaled)
        {
            for (int j = 0; j < crosscoder.Latents; j++)
            {
                for (int e = 0; e < 32; e++)
                {
                    crosscoder.WEnc_LE.Row(j)[e] /= (float)factors[e / 16];
                    crosscoder.WDec_LE.Row(j)[e] *= (float)factors[e / 16];
                }
            }

            for (int e = 0; e < 32; e++)
            {
                crosscoder.BDec_E.Row(0)[e] *= (float)factors[e / 16];
            }

            folder = _folder.Path;
            LayoutWriter.Save(FolderLayout.Blocks, folder, crosscoder);
            if (published)
            {
                File.WriteAllText(Path.Combine(folder, "cfg.json"), """{"d_in": 16, "dict_size": 96, "buffer_mult": 128, "dec_init_norm": 0.08}""");
            }
        }

        using Crosscoder loaded = CrosscoderFolder.Load(folder, _backend);
        Lines lines = new();
        InputScaling scaling = InputScaling.Apply(loaded, folder, InputScale.Unsaid, acts, acts, "encode", lines, CancellationToken.None);
        Assert.Equal(published, scaling.Factors is not null);
        Assert.Equal(published, loaded.Normalisation is not null);
        Assert.Contains(published ? "--input-scale none turns it off" : "taken as they are", Assert.Single(lines.Texts), StringComparison.Ordinal);
        Assert.True(!published || scaling.With > scaling.Without);
        if (published == trainedOnScaled)
        {
            (float[] code, _) = Encode("said", Golden, _x_NE, "none");
            (float[] unsaid, _) = Encode("unsaid", folder, _x_NE, null);
            Close.Max(code, unsaid, 1e-5, "the same code either way");
        }
    }

    [Theory]
    [InlineData("0", "no factor")]
    [InlineData("-1,2", "no factor")]
    [InlineData("big", "no factor")]
    [InlineData("1,2,3", "has 3 factors")]
    public void What_is_no_scale_is_refused_with_exit_code_2(string scale, string message)
    {
        (int code, _, string error) = CommandLine.Run(
            _folder.Path, "encode", "--crosscoder", Golden, "--activations", WriteX(_x_NE), "--out", "y.safetensors", "--input-scale=" + scale);
        Assert.Equal(2, code);
        Assert.Contains(message, error, StringComparison.Ordinal);
    }

    [Fact]
    public void A_dictionary_that_normalises_takes_no_scale()
    {
        DiffractException e = Assert.Throws<DiffractException>(() => Encode("x", GoldenFiles.Path("crosscoder/files/hub_normalised"), _x_NE, "auto"));
        Assert.Contains("normalises activations by the statistics", e.Message, StringComparison.Ordinal);
    }

    static float[] Times(float[] x_NE, double[] factors) => [.. x_NE.Select((x, i) => (float)(x * factors[i % 32 / 16]))];

    string WriteX(float[] x_NE)
    {
        string path = Path.Combine(_folder.Path, "x.safetensors");
        SafetensorsWriter writer = new();
        writer.Add("x", x_NE, x_NE.Length / 32, 2, 16);
        writer.Save(path);
        return path;
    }

    (float[] Code, float[] Recon) Encode(string name, string folder, float[] x_NE, string? scale)
    {
        string output = Path.Combine(_folder.Path, name.ToString(CultureInfo.InvariantCulture) + ".out.safetensors");
        LooseEncoding.Run(folder, WriteX(x_NE), output, InputScale.Parse(scale), _backend, new SilentProgress(), CancellationToken.None);
        using SafetensorsFile file = SafetensorsFile.Open(output);
        return (file.Floats("code"), file.Floats("reconstruction"));
    }

    sealed class Lines : IProgressSink
    {
        public List<string> Texts { get; } = [];

        public void Line(string text) => Texts.Add(text);

        public void Warn(string text)
        {
        }

        public void Report(string what, long done, long total, string unit, string? note = null)
        {
        }

        public void Done(string what, string summary)
        {
        }
    }
}
