using Diffract.Compute.Reference;
using Diffract.Crosscoders;
using Diffract.Formats;
using Diffract.Runs;
using Diffract.Training;

namespace Diffract.Tests.Crosscoders;

/// <summary>A crosscoder with a width for each model. What it should do is known: the same as one whose narrow model is filled up with zeros.</summary>
public sealed class UnequalWidthsTests : IDisposable
{
    const int Narrow = 3, Wide = 5, Latents = 14, Tokens = 640;

    readonly TemporaryFolder _folder = new();
    readonly ReferenceBackend _backend = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData(CrosscoderKind.BatchTopK, false, false)]
    [InlineData(CrosscoderKind.L1, true, false)]
    [InlineData(CrosscoderKind.L1, false, true)]
    [InlineData(CrosscoderKind.JumpReLU, false, false)]
    public void What_is_written_is_read_again(CrosscoderKind kind, bool normalised, bool chatReadsAlone)
    {
        CrosscoderConfig config = new(kind, Latents, [Narrow, Wide, 2]) { K = 4, EncoderModels = chatReadsAlone ? [1] : null };
        float[] mean_E = [.. Enumerable.Range(0, 10).Select(e => e * 0.5f)], std_E = [.. Enumerable.Range(1, 10).Select(e => e * 0.25f)];
        using Crosscoder crosscoder = new(config, _backend, normalised ? ActivationNorm.From(mean_E, std_E, 2, config.ModelOffsets) : null);
        new CrosscoderInit(3, SameForAllModels: false, Transpose: false, Norm: 0.5).Apply(crosscoder);
        crosscoder.BDec_E.Row(0)[4] = 1.5f;
        crosscoder.BEnc_L.Row(0)[2] = -0.25f;
        crosscoder.Threshold = kind == CrosscoderKind.BatchTopK ? 0.75f : -1;
        CrosscoderFolder.Save(_folder.Path, crosscoder);
        using Crosscoder read = CrosscoderFolder.Load(_folder.Path, _backend);
        Assert.Equal(config.Widths, read.Config.Widths);
        Assert.Equal(kind, read.Config.Kind);
        Assert.Equal(config.EncoderModels, read.Config.EncoderModels);
        Assert.Equal(crosscoder.Thresholds, read.Thresholds);
        Assert.Equal(crosscoder.Normalisation?.Scale_M, read.Normalisation?.Scale_M);
        Assert.Equal(crosscoder.BDec_E.Row(0).ToArray(), read.BDec_E.Row(0).ToArray());
        Assert.Equal(crosscoder.BEnc_L.Row(0).ToArray(), read.BEnc_L.Row(0).ToArray());
        for (int j = 0; j < Latents; j++)
        {
            Assert.Equal(crosscoder.WEnc_LE.Row(j).ToArray(), read.WEnc_LE.Row(j).ToArray());
            Assert.Equal(crosscoder.WDec_LE.Row(j).ToArray(), read.WDec_LE.Row(j).ToArray());
            Assert.All(read.Norms_LM.Row(j).ToArray(), n => Assert.Equal(0.5f, n, 1e-6f));
        }

        foreach (string layout in LayoutWriter.Layouts.Keys)
        {
            DiffractException e = Assert.Throws<DiffractException>(() => LooseExport.Run(_folder.Path, layout, Path.Combine(_folder.Path, layout), _backend, new SilentProgress()));
            Assert.Contains($"the layout {layout} cannot hold models of widths 3 and 5 and 2", e.Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Training_is_that_of_a_model_filled_up_with_zeros()
    {
        (float[] narrow, float[] wide) = Acts();
        float[] padded = new float[Tokens * 2 * Wide];
        for (int t = 0; t < Tokens; t++)
        {
            narrow.AsSpan(t * Narrow, Narrow).CopyTo(padded.AsSpan(t * 2 * Wide));
            wide.AsSpan(t * Wide, Wide).CopyTo(padded.AsSpan((t * 2 * Wide) + Wide));
        }

        using Crosscoder own = Trained("own", [Narrow, Wide], ("x.0", narrow, [Tokens, Narrow]), ("x.1", wide, [Tokens, Wide]));
        using Crosscoder filled = Trained("filled", [Wide, Wide], ("x", padded, [Tokens, 2, Wide]));
        Assert.Equal([Narrow, Wide], own.Config.Widths);
        for (int j = 0; j < Latents; j++)
        {
            float[] enc = filled.WEnc_LE.Row(j).ToArray(), dec = filled.WDec_LE.Row(j).ToArray();
            Close.Max([.. enc[..Narrow], .. enc[Wide..]], own.WEnc_LE.Row(j).ToArray(), 1e-5, "encoder");
            Close.Max([.. dec[..Narrow], .. dec[Wide..]], own.WDec_LE.Row(j).ToArray(), 1e-5, "decoder");
        }

        using SafetensorsFile a = Encoded("own"), b = Encoded("filled");
        Close.Max(b.Floats("code"), a.Floats("code"), 1e-4, "code");
        float[] recon = b.Floats("reconstruction");
        Close.Max([.. Enumerable.Range(0, Tokens).SelectMany(t => recon[(t * 2 * Wide)..((t * 2 * Wide) + Narrow)])], a.Floats("reconstruction.0", Tokens, Narrow), 1e-4, "reconstruction of the narrow model");
        Close.Max([.. Enumerable.Range(0, Tokens).SelectMany(t => recon[((t * 2 * Wide) + Wide)..((t + 1) * 2 * Wide)])], a.Floats("reconstruction.1", Tokens, Wide), 1e-4, "reconstruction of the wide model");
    }

    [Fact]
    public void First_weights_are_drawn_for_each_model_unless_the_same_are_asked_for()
    {
        (float[] narrow, float[] wide) = Acts();
        string x = Save("x", ("x.0", narrow, [Tokens, Narrow]), ("x.1", wide, [Tokens, Wide]));
        TrainOptions options = new() { Kind = CrosscoderKind.L1, Latents = Latents, Steps = 1, Batch = 64, LearningRate = 1e-9, Warmup = 0 };
        LooseTraining.Run(new LooseTrainSettings(x, Path.Combine(_folder.Path, "drawn"), options), _backend, new SilentProgress(), CancellationToken.None);
        using Crosscoder drawn = CrosscoderFolder.Load(Path.Combine(_folder.Path, "drawn"), _backend);
        for (int j = 0; j < Latents; j++)
        {
            Assert.All(drawn.Norms_LM.Row(j).ToArray(), n => Assert.Equal(0.005f, n, 1e-6f));
            Assert.NotEqual(drawn.WEnc_LE.Row(j)[0], drawn.WEnc_LE.Row(j)[Narrow]);
        }

        DiffractException e = Assert.Throws<DiffractException>(() => LooseTraining.Run(
            new LooseTrainSettings(x, Path.Combine(_folder.Path, "same"), options with { SameInit = true }), _backend, new SilentProgress(), CancellationToken.None));
        Assert.Contains("cannot begin with the same weights", e.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("x.0 [tokens, 3], x.1 [tokens, 5]", "x")]
    [InlineData("tensor x.1 has the shape [640, 3], wanted [640, 5]", "x.0", "x.1")]
    public void Files_that_do_not_fit_say_what_is_wanted(string message, params string[] names)
    {
        using Crosscoder crosscoder = new(new CrosscoderConfig(CrosscoderKind.L1, Latents, [Narrow, Wide]), _backend);
        CrosscoderFolder.Save(_folder.Path, crosscoder);
        (float[] narrow, _) = Acts();
        Save("x", [.. names.Select(n => (n, narrow, new long[] { Tokens, Narrow }))]);
        DiffractException e = Assert.Throws<DiffractException>(() => LooseEncoding.Run(
            _folder.Path, Path.Combine(_folder.Path, "x.safetensors"), Path.Combine(_folder.Path, "y.safetensors"), InputScale.Unsaid, _backend, new SilentProgress(), CancellationToken.None));
        Assert.Contains(message, e.Message, StringComparison.Ordinal);
    }

    (float[] Narrow, float[] Wide) Acts()
    {
        Random random = new(4);
        float[][] directions = [.. Enumerable.Range(0, 6).Select(_ => Enumerable.Range(0, Narrow + Wide).Select(_ => random.NextSingle() - 0.5f).ToArray())];
        float[] narrow = new float[Tokens * Narrow], wide = new float[Tokens * Wide];
        for (int t = 0; t < Tokens; t++)
        {
            foreach (float[] direction in directions)
            {
                float f = random.NextSingle() < 0.3f ? 4 * random.NextSingle() : 0;
                for (int e = 0; e < direction.Length; e++)
                {
                    (e < Narrow ? ref narrow[(t * Narrow) + e] : ref wide[(t * Wide) + e - Narrow]) += f * direction[e];
                }
            }
        }

        return (narrow, wide);
    }

    /// <summary>Ten steps from the same first weights, the columns of the filler 0.</summary>
    Crosscoder Trained(string name, int[] widths, params (string Name, float[] Values, long[] Shape)[] tensors)
    {
        string first = Path.Combine(_folder.Path, name + "-first");
        using (Crosscoder init = new(new CrosscoderConfig(CrosscoderKind.L1, Latents, widths), _backend))
        {
            Random random = new(8);
            for (int j = 0; j < Latents; j++)
            {
                foreach (int e in Enumerable.Range(0, Narrow).Concat(Enumerable.Range(widths[0], Wide)))
                {
                    init.WEnc_LE.Row(j)[e] = random.NextSingle() - 0.5f;
                    init.WDec_LE.Row(j)[e] = random.NextSingle() - 0.5f;
                }
            }

            CrosscoderFolder.Save(first, init);
        }

        TrainOptions options = new() { Kind = CrosscoderKind.L1, Mu = 0.02, Steps = 10, Batch = 64, LearningRate = 0.01, Warmup = 2 };
        string output = Path.Combine(_folder.Path, name);
        LooseTraining.Run(
            new LooseTrainSettings(Save(name, tensors), output, options) { Init = Path.Combine(first, CrosscoderFolder.ModelFile) }, _backend, new SilentProgress(), CancellationToken.None);
        return CrosscoderFolder.Load(output, _backend);
    }

    SafetensorsFile Encoded(string name)
    {
        string output = Path.Combine(_folder.Path, name + "-code.safetensors");
        LooseEncoding.Run(Path.Combine(_folder.Path, name), Path.Combine(_folder.Path, name + ".safetensors"), output, InputScale.Unsaid, _backend, new SilentProgress(), CancellationToken.None);
        return SafetensorsFile.Open(output);
    }

    string Save(string name, params (string Name, float[] Values, long[] Shape)[] tensors)
    {
        string path = Path.Combine(_folder.Path, name + ".safetensors");
        SafetensorsWriter writer = new();
        foreach ((string tensor, float[] values, long[] shape) in tensors)
        {
            writer.Add(tensor, values, shape);
        }

        writer.Save(path);
        return path;
    }
}
