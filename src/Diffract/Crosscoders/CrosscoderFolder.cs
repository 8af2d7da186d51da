using System.Globalization;
using System.Text.Json.Nodes;
using Diffract.Compute.Kernels;
using Diffract.Formats;
using Diffract.Runs;

namespace Diffract.Crosscoders;

/// <summary>
/// A crosscoder on disk: read in any published layout (<see cref="FolderLayout"/>), written as the hub has it, <c>model.safetensors</c> and <c>config.json</c> (with a tensor for each model where widths differ). The file's buffers (k, threshold,
/// code norm) win over the configuration.
/// </summary>
public static class CrosscoderFolder
{
    public const string ModelFile = "model.safetensors";

    public const string ConfigFile = "config.json";

    /// <summary>Loads a folder of any published layout, told by its files; ours are of the hub's.</summary>
    /// <exception cref="DiffractException">A file is missing or broken, or the crosscoder needs something that is not supported; the message names it.</exception>
    public static Crosscoder Load(string folder, IBackend backend)
    {
        (TensorFile tensors, JsonFields config) = LayoutReader.Open(FolderFiles.Find(folder));
        using (tensors)
        {
            return PublishedCrosscoder.Read(tensors, PublishedTensors.FindPrefix(tensors, ""), config, new InitChoices(), backend);
        }
    }

    /// <summary>Loads from one safetensors file without a configuration, as initial weights are given: published names, also under "init.".</summary>
    /// <param name="path">The file.</param>
    /// <param name="choices">What wins over the file.</param>
    /// <param name="backend">Where the weights lie.</param>
    public static Crosscoder LoadInit(string path, InitChoices choices, IBackend backend)
    {
        using SafetensorsFile file = SafetensorsFile.Open(path);
        return PublishedCrosscoder.Read(file, PublishedTensors.FindPrefix(file, "", "init."), new JsonFields(path, []), choices, backend);
    }

    /// <summary>Writes <c>model.safetensors</c> and <c>config.json</c>, each whole or not at all.</summary>
    /// <returns>Seals by file name.</returns>
    public static Dictionary<string, FileSeal> Save(string folder, Crosscoder crosscoder, CrosscoderInit? init = null)
    {
        SafetensorsWriter writer = new();
        writer.Metadata["format"] = "pt";
        if (crosscoder.Config.Partitioned)
        {
            // As metadata, which other loaders pass over: by its weights it is an ordinary crosscoder.
            writer.Metadata[PublishedCrosscoder.BaseOnlyName] = crosscoder.Config.BaseOnly.ToString(CultureInfo.InvariantCulture);
            writer.Metadata[PublishedCrosscoder.ChatOnlyName] = crosscoder.Config.ChatOnly.ToString(CultureInfo.InvariantCulture);
        }

        if (crosscoder.Config.LargestPerToken)
        {
            writer.Metadata[PublishedCrosscoder.LargestPerToken] = "true";
        }

        AddTensors(writer, crosscoder);
        Dictionary<string, FileSeal> seals = new(StringComparer.Ordinal) { [ModelFile] = writer.Save(Path.Combine(folder, ModelFile)) };
        seals[ConfigFile] = AtomicFile.WriteText(Path.Combine(folder, ConfigFile), new JsonObject(Fields(crosscoder, init)).ToJsonString(Provenance.Json) + "\n");
        return seals;
    }

    /// <summary>Everything that the published form holds: weights and buffers.</summary>
    public static void AddTensors(TensorList writer, Crosscoder crosscoder)
    {
        PublishedTensors.Add(writer, "", crosscoder.Config, crosscoder.WEnc_LE, crosscoder.BEnc_L, crosscoder.WDec_LE, crosscoder.BDec_E);
        PublishedCrosscoder.AddBuffers(writer, crosscoder);
    }

    /// <summary>Keys and their order as the reference library writes them, so that its loader takes the file.</summary>
    static SortedDictionary<string, JsonNode?> Fields(Crosscoder crosscoder, CrosscoderInit? init)
    {
        CrosscoderConfig config = crosscoder.Config;
        SortedDictionary<string, JsonNode?> fields = new(StringComparer.Ordinal)
        {
            ["activation_dim"] = config.Widths[0],
            ["activation_mean"] = null,
            ["activation_std"] = null,
            ["dict_class"] = PublishedCrosscoder.ClassName(config),
            ["dict_size"] = config.Latents,
            ["target_rms"] = crosscoder.Normalisation?.TargetRms ?? 1.0,
        };
        if (!config.EqualWidths)
        {
            fields.Remove("activation_dim");
            fields["activation_dims"] = new JsonArray([.. config.Widths.Select(w => (JsonNode)w)]);
        }

        if (config.Kind == CrosscoderKind.BatchTopK)
        {
            fields["k"] = config.K;
        }

        if (config.Sae)
        {
            fields["encoder_init_norm"] = init?.EncoderNorm ?? 1.0;
            return fields;
        }

        fields["code_normalization"] = CodeNormIds.Name(config.CodeNorm.Kind);
        fields["init_with_transpose"] = init?.Transpose ?? true;
        fields["norm_init_scale"] = init?.Norm is { } norm ? JsonValue.Create(norm) : null;
        fields["num_layers"] = config.Models;
        fields["same_init_for_all_layers"] = init?.SameForAllModels ?? config.EqualWidths;
        if (config.CodeNorm.Kind == CodeNormKind.Mixed)
        {
            fields["code_normalization_alpha_sae"] = config.CodeNorm.AlphaSae;
            fields["code_normalization_alpha_cc"] = config.CodeNorm.AlphaCc;
        }

        if (config.EncoderModels is { } read)
        {
            fields["encoder_layers"] = new JsonArray([.. read.Select(m => (JsonNode)m)]);
        }

        return fields;
    }
}
