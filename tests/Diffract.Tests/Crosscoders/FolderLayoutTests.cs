using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Compute.Reference;
using Diffract.Crosscoders;
using Diffract.Formats;
using Diffract.Runs;

namespace Diffract.Tests.Crosscoders;

public sealed class FolderLayoutTests : IDisposable
{
    readonly TemporaryFolder _folder = new();
    readonly ReferenceBackend _backend = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("local_l1", "hub_l1")]
    [InlineData("local_batchtopk", "hub_batchtopk")]
    [InlineData("local_decoupled", "hub_decoupled")]
    [InlineData("local_normalised", "hub_normalised")]
    [InlineData("local_sae", "hub_sae")]
    [InlineData("local_compiled", "hub_l1")]
    [InlineData("local_legacy_zip_off", "hub_l1")]
    [InlineData("local_old", "hub_batchtopk")]
    [InlineData("blocks_style", "hub_l1")]
    public void Every_published_layout_loads_to_what_the_hub_form_holds(string name, string hub)
    {
        using Crosscoder wanted = Load(hub), got = Load(name);
        AssertSame(wanted, got);
    }

    [Fact]
    public void A_bfloat16_file_is_widened_exactly()
    {
        using Crosscoder full = Load("hub_l1"), half = Load("local_bfloat16");
        float[] wanted = [.. Bits(full)], got = [.. Bits(half)];

        // All but the encoder's bias, which that file keeps as float32, behind the encoder.
        int bias = full.Latents * full.E;
        for (int i = 0; i < wanted.Length; i++)
        {
            Assert.Equal(i >= bias && i < bias + full.Latents ? wanted[i] : BFloat16.ToSingle(BFloat16.FromSingle(wanted[i])), got[i]);
        }
    }

    public static TheoryData<string, string> RoundTrips => new(
        from name in (string[])["hub_l1", "hub_batchtopk", "hub_decoupled", "hub_normalised", "hub_sae", "local_bfloat16", "blocks_style"]
        from layout in LayoutWriter.Layouts.Keys
        where layout switch
        {
            "blocks" => name is "hub_l1" or "local_bfloat16" or "blocks_style",
            "saelens" or "sparsify" => name == "hub_sae",
            _ => true,
        }
        select (name, layout));

    [Theory]
    [MemberData(nameof(RoundTrips))]
    public void A_round_trip_keeps_every_bit(string name, string layout)
    {
        string first = Path.Combine(_folder.Path, "first"), second = Path.Combine(_folder.Path, "second");
        LooseExport.Run(GoldenFiles.Path("crosscoder/files/" + name), layout, first, _backend, new SilentProgress());
        Assert.Equal(LayoutWriter.Layouts[layout], FolderFiles.Find(first).Layout);
        using Crosscoder before = Load(name), after = CrosscoderFolder.Load(first, _backend);
        AssertSame(before, after);
        LooseExport.Run(first, layout, second, _backend, new SilentProgress());
        foreach (string file in Directory.GetFiles(first))
        {
            Assert.Equal(File.ReadAllBytes(file), File.ReadAllBytes(Path.Combine(second, Path.GetFileName(file))));
        }
    }

    [Theory]
    [InlineData("hub_batchtopk", "blocks", "k and a threshold (BatchTopK)")]
    [InlineData("hub_decoupled", "blocks", "k and a threshold (BatchTopK)")]
    [InlineData("hub_sae", "blocks", "an SAE")]
    [InlineData("hub_l1", "saelens", "2 models")]
    [InlineData("hub_normalised", "sparsify", "2 models")]
    [InlineData("hub_l1", "gguf", "--to gguf is not a layout; wanted one of hub, local, blocks, saelens, sparsify")]
    public void What_a_layout_cannot_hold_is_refused_by_name(string name, string layout, string message)
    {
        string output = Path.Combine(_folder.Path, "out");
        DiffractException e = Assert.Throws<DiffractException>(() => LooseExport.Run(GoldenFiles.Path("crosscoder/files/" + name), layout, output, _backend, new SilentProgress()));
        Assert.Contains(message, e.Message, StringComparison.Ordinal);
        Assert.False(Directory.Exists(output));
    }

    [Fact]
    public void A_folder_is_not_written_over_itself()
        => Assert.Contains("is the folder that is read", Assert.Throws<DiffractException>(
            () => LooseExport.Run(GoldenFiles.Path("crosscoder/files/hub_l1"), "local", GoldenFiles.Path("crosscoder/files/hub_l1/"), _backend, new SilentProgress())).Message, StringComparison.Ordinal);

    [Fact]
    public void What_was_found_and_what_is_wanted_is_said()
    {
        string message = Refused();
        Assert.Contains("it is empty", message, StringComparison.Ordinal);
        foreach (string wanted in (string[])["model.safetensors", "model_final.pt", "checkpoint_<step>.pt", "cc_weights.pt", "sae_weights.safetensors", "sae.safetensors", "model.pt"])
        {
            Assert.Contains(wanted, message, StringComparison.Ordinal);
        }

        _folder.File("notes.txt", "");
        Assert.Contains("it has notes.txt", Refused(), StringComparison.Ordinal);
        _folder.File("sae.safetensors", "");
        Assert.Contains("it has sae.safetensors but no cfg.json", Refused(), StringComparison.Ordinal);
        _folder.File("cfg.json", """{"k": 1, "k": 2}""");
        Assert.Contains("cfg.json is not a crosscoder's configuration", Refused(), StringComparison.Ordinal);
    }

    [Fact]
    public void The_checkpoint_of_the_largest_step_is_taken()
    {
        foreach (string name in (string[])["checkpoint_9.pt", "checkpoint_200.pt", "checkpoint_x.pt", "config.json"])
        {
            _folder.File(name, "");
        }

        Assert.Equal("checkpoint_200.pt", Path.GetFileName(FolderFiles.Find(_folder.Path).Weights));
        _folder.File("ae.pt", "");
        Assert.Equal("ae.pt", Path.GetFileName(FolderFiles.Find(_folder.Path).Weights));
    }

    [Fact]
    public void Latents_dedicated_to_one_model_are_masked()
    {
        TorchWriter writer = new();
        writer.Add("W_enc", Ramp(2 * 3 * 5), 2, 3, 5);
        writer.Add("b_enc", Ramp(5), 5);
        writer.Add("W_dec", Ramp(5 * 2 * 3), 5, 2, 3);
        writer.Add("b_dec", Ramp(6), 2, 3);
        writer.Save(Path.Combine(_folder.Path, "model.pt"));
        _folder.File("config.json", """{"activation_dim": 3, "dict_size": 5, "k": 2, "n_a": 1, "n_b": 2}""");
        using Crosscoder crosscoder = CrosscoderFolder.Load(_folder.Path, _backend);
        Assert.Equal((CrosscoderKind.BatchTopK, CodeNormKind.None, 2, true), (crosscoder.Config.Kind, crosscoder.Config.CodeNorm.Kind, crosscoder.Config.K, crosscoder.Config.LargestPerToken));
        Assert.False(crosscoder.ThresholdUnset);

        // Latent 0 is model 0's, latents 1 and 2 are model 1's; element (m, d, j) of W_enc is 15m + 5d + j + 1, (j, m, d) of W_dec 6j + 3m + d + 1.
        Assert.Equal([1, 6, 11, 0, 0, 0], crosscoder.WEnc_LE.Row(0).ToArray());
        Assert.Equal([0, 0, 0, 18, 23, 28], crosscoder.WEnc_LE.Row(2).ToArray());
        Assert.Equal([1, 2, 3, 0, 0, 0], crosscoder.WDec_LE.Row(0).ToArray());
        Assert.Equal([0, 0, 0, 16, 17, 18], crosscoder.WDec_LE.Row(2).ToArray());
        Assert.Equal([25, 26, 27, 28, 29, 30], crosscoder.WDec_LE.Row(4).ToArray());
        _folder.File("config.json", """{"activation_dim": 3, "dict_size": 5, "k": 2, "n_a": 4, "n_b": 2}""");
        Assert.Contains("n_a = 4 and n_b = 2 do not fit", Refused(), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("hub")]
    [InlineData("local")]
    public void A_partition_and_thresholds_by_latent_are_kept(string layout)
    {
        string folder = Path.Combine(_folder.Path, "a");
        using Crosscoder saved = new(new CrosscoderConfig(CrosscoderKind.JumpReLU, 5, [3, 3]) { K = 2, BaseOnly = 1, ChatOnly = 2 }, _backend);
        new CrosscoderInit(1, SameForAllModels: false, Transpose: false).Apply(saved);
        saved.Threshold_L!.Value.Row(0)[3] = 0.125f;
        LayoutWriter.Save(LayoutWriter.Layouts[layout], folder, saved);
        using Crosscoder loaded = CrosscoderFolder.Load(folder, _backend);
        AssertSame(saved, loaded);
        Assert.Equal((1, 2), (loaded.Config.BaseOnly, loaded.Config.ChatOnly));
        Assert.Equal(saved.Threshold_L!.Value.Row(0).ToArray(), loaded.Threshold_L!.Value.Row(0).ToArray());
        Assert.Contains("a threshold for each latent (JumpReLU)", Assert.Throws<DiffractException>(() => LayoutWriter.Save(FolderLayout.Blocks, folder, loaded)).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("hub")]
    [InlineData("local")]
    [InlineData("saelens")]
    [InlineData("sparsify")]
    public void A_TopK_SAE_keeps_the_largest_of_each_token_in_every_layout_that_holds_it(string layout)
    {
        SafetensorsWriter writer = new();
        writer.Add("encoder.weight", new float[] { 1, 0, 0, 1, 1, 1, 3, 0 }, 4, 2);
        writer.Add("encoder.bias", new float[4], 4);
        writer.Add("W_dec", Ramp(8), 4, 2);
        writer.Add("b_dec", new float[2], 2);
        string source = Path.Combine(_folder.Path, "source"), output = Path.Combine(_folder.Path, "out");
        writer.Save(Path.Combine(source, "sae.safetensors"));
        _folder.File("source/cfg.json", """{"activation": "topk", "num_latents": 4, "d_in": 2, "k": 2}""");
        LooseExport.Run(source, layout, output, _backend, new SilentProgress());
        using Crosscoder sae = CrosscoderFolder.Load(output, _backend);
        Matrix acts_BE = _backend.Matrix(3, 2);
        _backend.Upload([1, 2, 2, 1, -1, 0.5f], acts_BE);
        using SparseCode code = sae.NewCode(3);
        sae.Encode(acts_BE, code);

        // Positive values are 1 2 3 3, 2 1 3 6, and 0.5 of latent 1 alone; of two 3s both stay, and the last token has fewer than k.
        Assert.Equal([0, 0, 3, 3, 0, 0, 3, 6, 0, 0.5f, 0, 0], GoldenInference.Dense(code, null));
        Assert.Equal((5, 0.5f), (code.Pairs, code.SmallestScaled));
        Assert.Equal([0, 2, 4, 5], code.TokenStart.Span<int>()[..4].ToArray());
        Assert.Equal([2, 3, 2, 3, 1], code.TokenLatent.Span<int>()[..5].ToArray());
        Assert.Equal([1, 3, 2, 4, 0], code.TokenPairs.Span<int>()[..5].ToArray());
        acts_BE.Buffer.Dispose();
    }

    [Theory]
    [InlineData("""{"architecture": "standard", "apply_b_dec_to_input": true}""", 0.0f, -1.5f)]
    [InlineData("""{"architecture": "jumprelu", "apply_b_dec_to_input": true}""", 0.75f, -1.5f)]
    [InlineData("""{"architecture": "jumprelu", "apply_b_dec_to_input": false}""", 0.75f, 6.5f)]
    public void SAELens_of_others_is_read(string config, float threshold, float bias)
    {
        SaeLens(config, 0.75f, 0.75f);
        using Crosscoder sae = CrosscoderFolder.Load(_folder.Path, _backend);
        Assert.True(sae.Config.Sae);
        Assert.Equal(threshold, sae.Threshold);
        Assert.Equal([1, 3, 5], sae.WEnc_LE.Row(0).ToArray());
        Assert.Equal([4, 5, 6], sae.WDec_LE.Row(1).ToArray());

        // b_dec·W_enc = (1, 1, 0.8)·(1, 3, 5) = 8 is added where b_dec is not taken off the input.
        Assert.Equal(bias, sae.BEnc_L.Row(0)[0]);
    }

    [Theory]
    [InlineData("""{"architecture": "gated"}""", 1.0f, "architecture gated")]
    [InlineData("""{"architecture": "jumprelu"}""", 2.0f, "a threshold for each latent (1 for latent 0, 2 for latent 1)")]
    [InlineData("""{"architecture": "jumprelu", "normalize_activations": "layer_norm"}""", 1.0f, "normalize_activations = layer_norm")]
    [InlineData("""{"architecture": "jumprelu", "d_in": 7}""", 1.0f, "d_in 7, the tensors have 3")]
    [InlineData("""{"architecture": 3}""", 1.0f, "architecture is 3, wanted a text")]
    public void What_an_SAE_of_SAELens_needs_and_we_have_not_is_refused(string config, float second, string message)
    {
        SaeLens(config, 1, second);
        Assert.Contains(message, Refused(), StringComparison.Ordinal);
    }

    string Refused() => Assert.Throws<DiffractException>(() => CrosscoderFolder.Load(_folder.Path, _backend)).Message;

    void SaeLens(string config, params float[] thresholds)
    {
        SafetensorsWriter writer = new();
        writer.Add("W_enc", Ramp(6), 3, 2);
        writer.Add("b_enc", new[] { -1.5f, 0 }, 2);
        writer.Add("W_dec", Ramp(6), 2, 3);
        writer.Add("b_dec", new[] { 1, 1, 0.8f }, 3);
        writer.Add("threshold", thresholds, 2);
        writer.Save(Path.Combine(_folder.Path, "sae_weights.safetensors"));
        _folder.File("cfg.json", config);
    }

    static float[] Ramp(int length) => [.. Enumerable.Range(1, length).Select(i => (float)i)];

    Crosscoder Load(string name) => CrosscoderFolder.Load(GoldenFiles.Path("crosscoder/files/" + name), _backend);

    static void AssertSame(Crosscoder wanted, Crosscoder got)
    {
        Assert.Equal((wanted.Config.Kind, wanted.Config.Sae, wanted.Config.CodeNorm), (got.Config.Kind, got.Config.Sae, got.Config.CodeNorm));
        Assert.Equal(wanted.Config.Widths, got.Config.Widths);
        Assert.Equal(wanted.Config.EncoderModels, got.Config.EncoderModels);
        if (wanted.Config.Kind == CrosscoderKind.BatchTopK)
        {
            Assert.Equal(wanted.Config.K, got.Config.K);
            Assert.Equal(wanted.Thresholds, got.Thresholds);
        }

        Assert.Equal(wanted.Normalisation is null, got.Normalisation is null);
        Assert.Equal(wanted.Normalisation?.Mean_E, got.Normalisation?.Mean_E);
        Assert.Equal(wanted.Normalisation?.Scale_M, got.Normalisation?.Scale_M);
        Assert.Equal(Bits(wanted), Bits(got));
    }

    static IEnumerable<float> Bits(Crosscoder crosscoder)
    {
        foreach (Matrix matrix in (Matrix[])[crosscoder.WEnc_LE, crosscoder.BEnc_L, crosscoder.WDec_LE, crosscoder.BDec_E])
        {
            float[] values = new float[matrix.Rows * matrix.Columns];
            HostCopies.Download(matrix, values);
            foreach (float value in values)
            {
                yield return value;
            }
        }
    }
}
