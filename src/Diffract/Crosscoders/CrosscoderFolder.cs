using System.Text.Json;
using System.Text.Json.Nodes;
using Diffract.Compute.Kernels;
using Diffract.Formats;
using Diffract.Runs;

namespace Diffract.Crosscoders;

/// <summary>
/// A crosscoder on disk as it is published on the hub: <c>model.safetensors</c> and <c>config.json</c>. The file's buffers (k, threshold, code norm) win over the configuration.
/// </summary>
public static class CrosscoderFolder
{
    public const string ModelFile = "model.safetensors";

    public const string ConfigFile = "config.json";

    /// <summary>Loads a published folder, or one of ours.</summary>
    /// <exception cref="DiffractException">A file is missing or broken, or the crosscoder needs something that is not supported; the message names it.</exception>
    public static Crosscoder Load(string folder, IBackend backend)
    {
        if (!Directory.Exists(folder))
        {
            throw DiffractException.Argument($"crosscoder folder {folder} does not exist; wanted a folder with {ModelFile} and {ConfigFile}");
        }

        JsonObject config = ReadConfig(Path.Combine(folder, ConfigFile));
        string path = Path.Combine(folder, ModelFile);
        if (!File.Exists(path))
        {
            throw new DiffractException($"{path} does not exist; wanted the published form, {ModelFile} beside {ConfigFile} (torch .pt files are not read)");
        }

        using SafetensorsFile file = SafetensorsFile.Open(path);
        RefuseUnsupported(folder, config);
        return Load(file, PublishedTensors.FindPrefix(file, ""), config, null, null, backend);
    }

    /// <summary>Loads from one safetensors file without a configuration, as initial weights are given: published names, also under "init.".</summary>
    /// <param name="path">The file.</param>
    /// <param name="kind">What decides which latents fire; a file with k or threshold may still be trained as L1.</param>
    /// <param name="codeNorm">Wins over the file's code norm when given.</param>
    /// <param name="k">Wins over the file's k when given.</param>
    /// <param name="backend">Where the weights lie.</param>
    public static Crosscoder LoadInit(string path, CrosscoderKind kind, CodeNorm? codeNorm, int? k, IBackend backend)
    {
        using SafetensorsFile file = SafetensorsFile.Open(path);
        return Load(file, PublishedTensors.FindPrefix(file, "", "init."), new JsonObject { ["dict_class"] = ClassName(kind) }, codeNorm, k, backend);
    }

    /// <summary>Writes <c>model.safetensors</c> and <c>config.json</c>, each whole or not at all.</summary>
    /// <returns>Seals by file name.</returns>
    public static Dictionary<string, FileSeal> Save(string folder, Crosscoder crosscoder, CrosscoderInit? init = null)
    {
        CrosscoderConfig config = crosscoder.Config;
        bool topK = config.Kind == CrosscoderKind.BatchTopK;
        SafetensorsWriter writer = new();
        writer.Metadata["format"] = "pt";
        PublishedTensors.Add(writer, "", config, crosscoder.WEnc_LE, crosscoder.BEnc_L, crosscoder.WDec_LE, crosscoder.BDec_E);
        float[] none_E = new float[config.E];
        Array.Fill(none_E, float.NaN);
        float[] one_M = new float[config.Models];
        Array.Fill(one_M, 1);
        writer.Add("activation_mean", none_E, config.Models, config.Widths[0]);
        writer.Add("activation_std", none_E, config.Models, config.Widths[0]);
        writer.Add("activation_global_scale", one_M, config.Models);
        writer.Add("target_rms", new float[] { 1 }, []);
        writer.Add("code_normalization_id", new long[] { CodeNormIds.Of(config.CodeNorm.Kind) }, []);
        if (topK)
        {
            writer.Add("k", new[] { config.K }, []);
            writer.Add("threshold", new[] { crosscoder.Threshold }, []);
        }

        // Keys and their order as the reference library writes them, so that its loader takes the file.
        SortedDictionary<string, JsonNode?> fields = new(StringComparer.Ordinal)
        {
            ["activation_dim"] = config.Widths[0],
            ["activation_mean"] = null,
            ["activation_std"] = null,
            ["code_normalization"] = CodeNormIds.Name(config.CodeNorm.Kind),
            ["dict_class"] = ClassName(config.Kind),
            ["dict_size"] = config.Latents,
            ["init_with_transpose"] = init?.Transpose ?? true,
            ["norm_init_scale"] = init?.Norm is { } norm ? JsonValue.Create(norm) : null,
            ["num_layers"] = config.Models,
            ["same_init_for_all_layers"] = init?.SameForAllModels ?? true,
            ["target_rms"] = 1.0,
        };
        if (topK)
        {
            fields["k"] = config.K;
        }

        Dictionary<string, FileSeal> seals = new(StringComparer.Ordinal) { [ModelFile] = writer.Save(Path.Combine(folder, ModelFile)) };
        seals[ConfigFile] = AtomicFile.WriteText(Path.Combine(folder, ConfigFile), new JsonObject(fields).ToJsonString(Provenance.Json) + "\n");
        return seals;
    }

    static Crosscoder Load(SafetensorsFile file, string? found, JsonObject config, CodeNorm? codeNorm, int? k, IBackend backend)
    {
        RefuseDictionary(file, found, config);
        string prefix = found!;
        long[] shape = file[prefix + "encoder.weight"].Shape;
        if (shape.Length != 3 || shape.Any(n => n is < 1 or > int.MaxValue))
        {
            throw new DiffractException($"{file.FilePath}: tensor {prefix}encoder.weight has the shape [{string.Join(", ", shape)}], wanted [models, width, latents]");
        }

        Expect(file, config, "num_layers", shape[0]);
        Expect(file, config, "activation_dim", shape[1]);
        Expect(file, config, "dict_size", shape[2]);
        if (file.Tensors.TryGetValue(prefix + "decoder.weight", out TensorEntry? decoder) && decoder.Shape.Length == 3 && decoder.Shape[0] != shape[0])
        {
            throw Unsupported(file.FilePath, $"an encoder over {shape[0]} of {decoder.Shape[0]} models (encoder_layers)");
        }

        RefuseNormalised(file, prefix);
        CrosscoderKind kind = config["dict_class"]?.GetValue<string>() switch
        {
            "BatchTopKCrossCoder" => CrosscoderKind.BatchTopK,
            "CrossCoder" => CrosscoderKind.L1,
            _ => file.Tensors.ContainsKey(prefix + "k") ? CrosscoderKind.BatchTopK : CrosscoderKind.L1,
        };
        CrosscoderConfig made = new(kind, (int)shape[2], [.. Enumerable.Repeat((int)shape[1], (int)shape[0])]) { CodeNorm = codeNorm ?? ReadCodeNorm(file, prefix, config) };
        if (kind == CrosscoderKind.BatchTopK)
        {
            made = made with { K = k ?? ReadK(file, prefix, config, made.Latents) };
        }

        Crosscoder crosscoder = new(made, backend);
        try
        {
            PublishedTensors.Read(file, prefix, made, crosscoder.WEnc_LE, crosscoder.BEnc_L, crosscoder.WDec_LE, crosscoder.BDec_E);
            if (kind == CrosscoderKind.BatchTopK && file.Tensors.TryGetValue(prefix + "threshold", out TensorEntry? threshold))
            {
                crosscoder.Threshold = threshold.Elements == 1
                    ? file.Floats(threshold.Name)[0]
                    : throw Unsupported(file.FilePath, $"a threshold for each model ({threshold.Elements} values; code normalisation DECOUPLED)");
            }

            crosscoder.RefreshNorms();
            return crosscoder;
        }
        catch
        {
            crosscoder.Dispose();
            throw;
        }
    }

    static int ReadK(SafetensorsFile file, string prefix, JsonObject config, int latents)
        => file.Tensors.ContainsKey(prefix + "k") ? checked((int)file.Integers(prefix + "k")[0]) : config["k"] is JsonValue k ? k.GetValue<int>() : Math.Min(100, latents);

    static CodeNorm ReadCodeNorm(SafetensorsFile file, string prefix, JsonObject config)
    {
        if (file.Tensors.ContainsKey(prefix + "code_normalization_id"))
        {
            long id = file.Integers(prefix + "code_normalization_id")[0];
            return Mixed(config, CodeNormIds.FromId(id)) ?? throw Unsupported(file.FilePath, "code normalisation " + (CodeNormIds.FromId(id) is { } known ? CodeNormIds.Name(known) : $"number {id}"));
        }

        // Files from before the buffer call the field sparsity_loss_type; older ones had only the norm of the paper.
        string name = (config["code_normalization"] ?? config["sparsity_loss_type"])?.GetValue<string>() ?? "CROSSCODER";
        return Mixed(config, CodeNormIds.FromName(name)) ?? throw Unsupported(file.FilePath, $"code normalisation {name}");
    }

    /// <summary>With the weights of MIXED, which only the configuration knows.</summary>
    static CodeNorm? Mixed(JsonObject config, CodeNormKind? kind)
    {
        double Alpha(string newer, string older, double otherwise) => (config[newer] ?? config[older])?.GetValue<double>() ?? otherwise;
        return kind is { } known and not CodeNormKind.Decoupled
            ? new CodeNorm(
                known,
                Alpha("code_normalization_alpha_sae", "sparsity_loss_alpha_sae", 1.0),
                Alpha("code_normalization_alpha_cc", "sparsity_loss_alpha_cc", 0.1))
            : null;
    }

    static void RefuseUnsupported(string folder, JsonObject config)
    {
        foreach (string field in (ReadOnlySpan<string>)["encoder_layers", "latent_processor", "num_decoder_layers"])
        {
            bool all = field == "num_decoder_layers" && config[field] is JsonValue n && JsonNode.DeepEquals(n, config["num_layers"]);
            if (config[field] is { } value && !all)
            {
                throw Unsupported(Path.Combine(folder, ConfigFile), $"{field} = {value.ToJsonString()}");
            }
        }
    }

    static void RefuseDictionary(SafetensorsFile file, string? prefix, JsonObject config)
    {
        string? name = config["dict_class"]?.GetValue<string>();
        if (name is not (null or "CrossCoder" or "BatchTopKCrossCoder"))
        {
            throw Unsupported(file.FilePath, $"dictionary class {name}");
        }

        if (prefix is null)
        {
            throw new DiffractException($"{file.FilePath} has no tensor encoder.weight; wanted the published names encoder.weight, encoder.bias, decoder.weight, decoder.bias");
        }

        if (file.Tensors.ContainsKey(prefix + "b_dec"))
        {
            throw Unsupported(file.FilePath, "dictionary class BatchTopKSAE (tensor b_dec)");
        }
    }

    /// <summary>All statistics missing, or NaN: the crosscoder takes raw activations.</summary>
    static void RefuseNormalised(SafetensorsFile file, string prefix)
    {
        string[] names = ["activation_mean", "activation_std"];
        string[] there = [.. names.Where(n => file.Tensors.ContainsKey(prefix + n))];
        if (there.Length == 1)
        {
            throw new DiffractException($"{file.FilePath} has {there[0]} but not {names.Single(n => n != there[0])}; wanted both or neither");
        }

        foreach (string name in there)
        {
            if (!file.Floats(prefix + name).Any(float.IsNaN))
            {
                throw Unsupported(file.FilePath, $"normalised activations ({name} is set)");
            }
        }
    }

    static void Expect(SafetensorsFile file, JsonObject config, string field, long got)
    {
        if (config[field] is JsonValue value && value.GetValue<long>() != got)
        {
            throw new DiffractException($"{file.FilePath}: encoder.weight says {field} {got}, {ConfigFile} says {value.ToJsonString()}; the two files do not belong together");
        }
    }

    static JsonObject ReadConfig(string path)
    {
        if (!File.Exists(path))
        {
            throw new DiffractException($"{path} does not exist; wanted the published form, {ModelFile} beside {ConfigFile}");
        }

        try
        {
            return JsonNode.Parse(File.ReadAllText(path)) as JsonObject ?? throw new JsonException("not an object");
        }
        catch (JsonException e)
        {
            throw new DiffractException($"{path} is not a crosscoder's configuration: {e.Message.Split('\n')[0]}", inner: e);
        }
    }

    static string ClassName(CrosscoderKind kind) => kind == CrosscoderKind.BatchTopK ? "BatchTopKCrossCoder" : "CrossCoder";

    static DiffractException Unsupported(string path, string what)
        => new($"{path} needs {what}, which is not supported; supported are crosscoders (CrossCoder, BatchTopKCrossCoder) on raw activations of all models with code normalisation CROSSCODER, SAE, MIXED or NONE");
}
