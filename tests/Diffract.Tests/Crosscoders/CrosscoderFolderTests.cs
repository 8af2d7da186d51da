using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Compute.Reference;
using Diffract.Crosscoders;
using Diffract.Formats;
using Diffract.Runs;

namespace Diffract.Tests.Crosscoders;

public sealed class CrosscoderFolderTests : IDisposable
{
    readonly string _folder = Directory.CreateTempSubdirectory("diffract").FullName;
    readonly ReferenceBackend _backend = new();

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Theory]
    [InlineData("hub_l1", "l1", CrosscoderKind.L1)]
    [InlineData("hub_batchtopk", "batchtopk_crosscoder", CrosscoderKind.BatchTopK)]
    [InlineData("hub_normalised", "batchtopk_normalised", CrosscoderKind.BatchTopK)]
    [InlineData("hub_decoupled", "batchtopk_decoupled", CrosscoderKind.BatchTopK, CodeNormKind.Decoupled)]
    [InlineData("hub_sae", "sae_batchtopk", CrosscoderKind.BatchTopK, CodeNormKind.None)]
    public void A_published_folder_encodes_as_its_library_does(string name, string golden, CrosscoderKind kind, CodeNormKind norm = CodeNormKind.Crosscoder)
    {
        using Crosscoder crosscoder = CrosscoderFolder.Load(Hub(name), _backend);
        Assert.Equal(kind, crosscoder.Config.Kind);
        Assert.Equal(norm, crosscoder.Config.CodeNorm.Kind);
        Assert.Equal(name == "hub_sae" ? [16] : [16, 16], crosscoder.Config.Widths);
        Assert.Equal(96, crosscoder.Latents);
        using SafetensorsFile run = SafetensorsFile.Open(GoldenFiles.Path($"crosscoder/{golden}/run.safetensors"));
        GoldenInference.Check(run, crosscoder, 1e-5);
    }

    [Theory]
    [InlineData("hub_l1")]
    [InlineData("hub_batchtopk")]
    [InlineData("hub_normalised")]
    [InlineData("hub_decoupled")]
    [InlineData("hub_sae")]
    public void A_published_folder_is_written_back_bit_for_bit(string name)
    {
        using (Crosscoder crosscoder = CrosscoderFolder.Load(Hub(name), _backend))
        {
            CrosscoderFolder.Save(_folder, crosscoder);
        }

        using SafetensorsFile wanted = SafetensorsFile.Open(Path.Combine(Hub(name), CrosscoderFolder.ModelFile)), got = SafetensorsFile.Open(Path.Combine(_folder, CrosscoderFolder.ModelFile));
        Assert.Equal(wanted.Tensors.Keys.Order(), got.Tensors.Keys.Order());
        foreach ((string tensor, TensorEntry entry) in wanted.Tensors)
        {
            Assert.Equal((entry.Type, string.Join(",", entry.Shape)), (got[tensor].Type, string.Join(",", got[tensor].Shape)));
            Assert.True(wanted.Bytes(tensor).SequenceEqual(got.Bytes(tensor)), tensor);
        }
    }

    [Fact]
    public void Encoder_subsets_normalisation_and_mixed_norms_come_back()
    {
        CrosscoderConfig config = new(CrosscoderKind.L1, 5, [3, 3, 3]) { CodeNorm = new CodeNorm(CodeNormKind.Mixed, 0.5, 0.25), EncoderModels = [0, 2] };
        ActivationNorm norm = ActivationNorm.From([.. Enumerable.Range(0, 9).Select(i => i * 0.5f)], [.. Enumerable.Repeat(2f, 9)], 3, config.ModelOffsets);
        using Crosscoder saved = new(config, _backend, norm);
        new CrosscoderInit(1, SameForAllModels: false).Apply(saved);
        Assert.All(Enumerable.Range(0, 5), j => Assert.Equal([0f, 0, 0], saved.WEnc_LE.Row(j)[3..6].ToArray()));
        CrosscoderFolder.Save(_folder, saved);
        using Crosscoder loaded = CrosscoderFolder.Load(_folder, _backend);
        Assert.Equal([0, 2], loaded.Config.EncoderModels!);
        Assert.Equal(config.CodeNorm, loaded.Config.CodeNorm);
        Assert.Equal(norm.Mean_E, loaded.Normalisation!.Mean_E);
        Assert.Equal(norm.Scale_M, loaded.Normalisation.Scale_M);
        Assert.Equal(3, loaded.Normalisation.TargetRms);
        foreach ((Matrix a, Matrix b) in Weights(saved).Zip(Weights(loaded)))
        {
            Assert.Equal(Flat(a), Flat(b));
        }
    }

    [Fact]
    public void What_is_saved_loads_to_the_same_bits_and_the_buffers_win()
    {
        using Crosscoder saved = Small();
        saved.Threshold = 3.25f;
        CrosscoderFolder.Save(_folder, saved);
        string config = Path.Combine(_folder, CrosscoderFolder.ConfigFile);
        File.WriteAllText(config, File.ReadAllText(config).Replace("\"k\": 2", "\"k\": 4", StringComparison.Ordinal).Replace("CROSSCODER", "NONE", StringComparison.Ordinal));
        using Crosscoder loaded = CrosscoderFolder.Load(_folder, _backend);
        Assert.Equal(2, loaded.Config.K);
        Assert.Equal(CodeNormKind.Crosscoder, loaded.Config.CodeNorm);
        Assert.Equal(3.25f, loaded.Threshold);
        foreach ((Matrix a, Matrix b) in Weights(saved).Zip(Weights(loaded)))
        {
            Assert.Equal(Flat(a), Flat(b));
        }
    }

    [Fact]
    public void Old_files_with_a_compiled_prefix_and_no_buffers_load()
    {
        SafetensorsWriter writer = new();
        using Crosscoder crosscoder = Small();
        PublishedTensors.Add(writer, "_orig_mod.", crosscoder.Config, crosscoder.WEnc_LE, crosscoder.BEnc_L, crosscoder.WDec_LE, crosscoder.BDec_E);
        writer.Save(Path.Combine(_folder, CrosscoderFolder.ModelFile));
        File.WriteAllText(Path.Combine(_folder, CrosscoderFolder.ConfigFile), """{"activation_dim": 3, "dict_size": 5, "encoder_layers": null, "num_layers": 2}""");
        using Crosscoder loaded = CrosscoderFolder.Load(_folder, _backend);
        Assert.Equal(CrosscoderKind.L1, loaded.Config.Kind);
        Assert.Equal(CodeNormKind.Crosscoder, loaded.Config.CodeNorm);
        Assert.Equal(Flat(crosscoder.WEnc_LE), Flat(loaded.WEnc_LE));
    }

    [Theory]
    [InlineData("""{"encoder_layers": [0]}""", "encoder_layers")]
    [InlineData("""{"latent_processor": "x"}""", "latent_processor")]
    [InlineData("""{"dict_size": 7}""", "dict_size 5")]
    [InlineData("""{"dict_class": "GatedSAE"}""", "GatedSAE")]
    [InlineData("""[1]""", "not an object")]
    [InlineData("""{"dict""", "config.json")]
    public void A_configuration_that_does_not_fit_says_why(string config, string message)
    {
        using Crosscoder crosscoder = Small();
        CrosscoderFolder.Save(_folder, crosscoder);
        File.WriteAllText(Path.Combine(_folder, CrosscoderFolder.ConfigFile), config);
        Assert.Contains(message, Assert.Throws<DiffractException>(() => CrosscoderFolder.Load(_folder, _backend)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Missing_folder_files_and_tensors_are_named()
    {
        Assert.Equal(2, Assert.Throws<DiffractException>(() => CrosscoderFolder.Load(Path.Combine(_folder, "none"), _backend)).ExitCode);
        Assert.Contains("config.json", Assert.Throws<DiffractException>(() => CrosscoderFolder.Load(_folder, _backend)).Message, StringComparison.Ordinal);
        File.WriteAllText(Path.Combine(_folder, CrosscoderFolder.ConfigFile), "{}");
        Assert.Contains("model.safetensors", Assert.Throws<DiffractException>(() => CrosscoderFolder.Load(_folder, _backend)).Message, StringComparison.Ordinal);
        SafetensorsWriter writer = new();
        writer.Add("encoder.weight", new float[30], 2, 3, 5);
        writer.Save(Path.Combine(_folder, CrosscoderFolder.ModelFile));
        Assert.Contains("decoder.weight", Assert.Throws<DiffractException>(() => CrosscoderFolder.Load(_folder, _backend)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void An_encoder_that_reads_other_models_than_named_is_refused()
    {
        SafetensorsWriter writer = new();
        writer.Add("encoder.weight", new float[15], 1, 3, 5);
        writer.Add("decoder.weight", new float[30], 2, 5, 3);
        string path = Path.Combine(_folder, "w.safetensors");
        writer.Save(path);
        DiffractException e = Assert.Throws<DiffractException>(() => CrosscoderFolder.LoadInit(path, new InitChoices { EncoderModels = [0, 1] }, _backend));
        Assert.Contains("encoder_layers", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void More_active_latents_than_there_are_is_an_argument_error()
        => Assert.Equal(2, Assert.Throws<DiffractException>(() => new Crosscoder(new CrosscoderConfig(CrosscoderKind.BatchTopK, 5, [3, 3]) { K = 6 }, _backend)).ExitCode);

    static string Hub(string name) => GoldenFiles.Path("crosscoder/files/" + name);

    Crosscoder Small()
    {
        Crosscoder crosscoder = new(new CrosscoderConfig(CrosscoderKind.BatchTopK, 5, [3, 3]) { K = 2 }, _backend);
        new CrosscoderInit(1, SameForAllModels: false, Transpose: false).Apply(crosscoder);
        return crosscoder;
    }

    static Matrix[] Weights(Crosscoder c) => [c.WEnc_LE, c.BEnc_L, c.WDec_LE, c.BDec_E];

    static float[] Flat(Matrix matrix)
    {
        float[] values = new float[matrix.Rows * matrix.Columns];
        HostCopies.Download(matrix, values);
        return values;
    }
}
