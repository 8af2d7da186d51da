using System.Text.Json.Nodes;
using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Formats;
using Diffract.Runs;

namespace Diffract.Crosscoders;

/// <summary>Writes a dictionary in a published layout. What the layout cannot hold is refused by name, before anything is written.</summary>
public static class LayoutWriter
{
    /// <summary>The layouts by the names that the command line gives them.</summary>
    public static IReadOnlyDictionary<string, FolderLayout> Layouts { get; } = new Dictionary<string, FolderLayout>(StringComparer.Ordinal)
    {
        ["hub"] = FolderLayout.Hub,
        ["local"] = FolderLayout.Local,
        ["blocks"] = FolderLayout.Blocks,
        ["saelens"] = FolderLayout.SaeLens,
        ["sparsify"] = FolderLayout.Sparsify,
    };

    /// <summary>Writes weights and configuration to <paramref name="folder"/>, each whole or not at all.</summary>
    /// <exception cref="DiffractException">The layout cannot hold the dictionary; the message says what.</exception>
    public static void Save(FolderLayout layout, string folder, Crosscoder crosscoder)
    {
        if (!crosscoder.Config.EqualWidths)
        {
            throw DiffractException.Argument(
                $"the layout {Layouts.FirstOrDefault(l => l.Value == layout).Key} cannot hold models of widths {string.Join(" and ", crosscoder.Config.Widths)}, nor can any published one; copy the folder as it is");
        }

        switch (layout)
        {
            case FolderLayout.Hub:
                CrosscoderFolder.Save(folder, crosscoder);
                break;
            case FolderLayout.Local:
                SaveLocal(folder, crosscoder);
                break;
            case FolderLayout.Blocks:
                SaveBlocks(folder, crosscoder);
                break;
            case FolderLayout.SaeLens:
                SaveSaeLens(folder, crosscoder);
                break;
            case FolderLayout.Sparsify:
                SaveSparsify(folder, crosscoder);
                break;
            default:
                throw DiffractException.Argument("the layout with dedicated latents is only read, not written");
        }
    }

    static void SaveLocal(string folder, Crosscoder crosscoder)
    {
        CrosscoderConfig config = crosscoder.Config;
        TorchWriter writer = new();
        CrosscoderFolder.AddTensors(writer, crosscoder);
        JsonObject trainer = new()
        {
            ["dict_class"] = PublishedCrosscoder.ClassName(config),
            ["activation_dim"] = config.Widths[0],
            ["dict_size"] = config.Latents,
        };
        if (config.Kind == CrosscoderKind.BatchTopK)
        {
            trainer["k"] = config.K;
        }

        if (config.Partitioned)
        {
            trainer[PublishedCrosscoder.BaseOnlyName] = config.BaseOnly;
            trainer[PublishedCrosscoder.ChatOnlyName] = config.ChatOnly;
        }

        if (config.LargestPerToken)
        {
            trainer[PublishedCrosscoder.LargestPerToken] = true;
        }

        if (!config.Sae)
        {
            trainer["code_normalization"] = CodeNormIds.Name(config.CodeNorm.Kind);
            trainer["code_normalization_alpha_sae"] = config.CodeNorm.AlphaSae;
            trainer["code_normalization_alpha_cc"] = config.CodeNorm.AlphaCc;
        }

        if (config.EncoderModels is { } read)
        {
            trainer["dict_class_kwargs"] = new JsonObject { ["encoder_layers"] = $"[{string.Join(", ", read)}]" };
        }

        trainer["target_rms"] = crosscoder.Normalisation?.TargetRms ?? 1;
        writer.Save(Path.Combine(folder, "model_final.pt"));
        SaveConfig(Path.Combine(folder, CrosscoderFolder.ConfigFile), new JsonObject { ["trainer"] = trainer });
    }

    static void SaveBlocks(string folder, Crosscoder crosscoder)
    {
        CrosscoderConfig config = crosscoder.Config;
        Refuse(FolderLayout.Blocks, "an SAE", config.Sae);
        Refuse(FolderLayout.Blocks, config.Kind == CrosscoderKind.BatchTopK ? "k and a threshold (BatchTopK)" : $"a threshold for each latent ({config.Kind})", config.Kind != CrosscoderKind.L1);
        Refuse(FolderLayout.Blocks, $"the code norm {CodeNormIds.Name(config.CodeNorm.Kind)}", config.CodeNorm.Kind != CodeNormKind.Crosscoder);
        Refuse(FolderLayout.Blocks, "normalised activations", crosscoder.Normalisation is not null);
        Refuse(FolderLayout.Blocks, "a partition", config.Partitioned);
        Refuse(FolderLayout.Blocks, "an encoder that reads some models only", config.EncoderModels is not null);
        TensorList published = new();
        PublishedTensors.Add(published, "", config, crosscoder.WEnc_LE, crosscoder.BEnc_L, crosscoder.WDec_LE, crosscoder.BDec_E);
        TorchWriter writer = new();
        Rename(writer, published, "encoder.weight", "W_enc");
        Rename(writer, published, "encoder.bias", "b_enc");
        AddRows(writer, "W_dec", crosscoder.WDec_LE, config.Latents, config.Models, config.Widths[0]);
        Rename(writer, published, "decoder.bias", "b_dec");
        writer.Save(Path.Combine(folder, "cc_weights.pt"));
        SaveConfig(Path.Combine(folder, "cfg.json"), new JsonObject { ["d_in"] = config.Widths[0], ["dict_size"] = config.Latents, ["enc_dtype"] = "fp32", ["device"] = "cpu" });
    }

    static void SaveSaeLens(string folder, Crosscoder crosscoder)
    {
        (CrosscoderConfig config, int width) = OneModel(FolderLayout.SaeLens, crosscoder);
        float[] thresholds_L = new float[config.Latents];
        Array.Fill(thresholds_L, crosscoder.Threshold);
        SafetensorsWriter writer = new();
        writer.Add("b_dec", crosscoder.BDec_E, width);
        writer.Add("b_enc", crosscoder.BEnc_L, config.Latents);
        if (!config.LargestPerToken)
        {
            writer.Add("threshold", thresholds_L, config.Latents);
        }

        AddRows(writer, "W_dec", crosscoder.WDec_LE, config.Latents, width);
        writer.AddBytes("W_enc", "F32", [width, config.Latents], (long)width * config.Latents * sizeof(float), s => PublishedTensors.WriteTurned(s, crosscoder.WEnc_LE, 0, width));
        writer.Save(Path.Combine(folder, "sae_weights.safetensors"));
        JsonObject fields = new()
        {
            ["architecture"] = config.LargestPerToken ? "topk" : "jumprelu",
            ["d_in"] = width,
            ["d_sae"] = config.Latents,
            ["dtype"] = "float32",
            ["device"] = "cpu",
            ["apply_b_dec_to_input"] = true,
            ["normalize_activations"] = "none",
            ["reshape_activations"] = "none",
            ["metadata"] = new JsonObject { ["k"] = config.K, ["sae_lens_training_version"] = null },
        };
        if (config.LargestPerToken)
        {
            fields["k"] = config.K;
            fields["rescale_acts_by_decoder_norm"] = false;
        }

        SaveConfig(Path.Combine(folder, "cfg.json"), fields);
    }

    static void SaveSparsify(string folder, Crosscoder crosscoder)
    {
        (CrosscoderConfig config, int width) = OneModel(FolderLayout.Sparsify, crosscoder);
        SafetensorsWriter writer = new();
        writer.Add("b_dec", crosscoder.BDec_E, width);
        AddRows(writer, "encoder.weight", crosscoder.WEnc_LE, config.Latents, width);
        writer.Add("encoder.bias", crosscoder.BEnc_L, config.Latents);
        AddRows(writer, "W_dec", crosscoder.WDec_LE, config.Latents, width);
        writer.Save(Path.Combine(folder, "sae.safetensors"));

        JsonObject fields = new()
        {
            ["activation"] = "topk",
            ["expansion_factor"] = Math.Max(1, config.Latents / width),
            ["normalize_decoder"] = true,
            ["num_latents"] = config.Latents,
            ["k"] = config.K,
            ["multi_topk"] = false,
            ["skip_connection"] = false,
            ["transcode"] = false,
            ["d_in"] = width,
        };
        if (!config.LargestPerToken)
        {
            // Its loader passes over fields that it does not know: this one is there for ours.
            fields["threshold"] = (double)crosscoder.Threshold;
        }

        SaveConfig(Path.Combine(folder, "cfg.json"), fields);
    }

    /// <summary>Both layouts of SAEs hold one model on raw activations.</summary>
    static (CrosscoderConfig Config, int Width) OneModel(FolderLayout layout, Crosscoder crosscoder)
    {
        CrosscoderConfig config = crosscoder.Config;
        Refuse(layout, $"{config.Models} models", config.Models > 1);
        Refuse(layout, $"a {PublishedCrosscoder.ClassName(config)} of one model, whose encoder sees x and not x - b_dec", !config.Sae);
        Refuse(layout, "normalised activations", crosscoder.Normalisation is not null);
        return (config, config.Widths[0]);
    }

    static void Refuse(FolderLayout layout, string what, bool when)
    {
        if (when)
        {
            throw DiffractException.Argument(
                $"the layout {Layouts.First(l => l.Value == layout).Key} cannot hold {what}; choose {(layout == FolderLayout.Blocks ? "hub or local" : "hub or local, which hold all that there is")}");
        }
    }

    static void Rename(TensorList target, TensorList source, string from, string to)
    {
        (_, string type, long[] shape, Action<Stream> write, long bytes) = source.Tensors.First(t => t.Name == from);
        target.AddBytes(to, type, shape, bytes, write);
    }

    static void AddRows(TensorList target, string name, Matrix w_LE, params long[] shape) => target.Add(name, w_LE, shape);

    static void SaveConfig(string path, JsonObject config) => AtomicFile.WriteText(path, config.ToJsonString(Provenance.Json) + "\n");
}
