using System.Text.Json.Nodes;
using Diffract.Formats;
using Diffract.Runs;

namespace Diffract.Crosscoders;

/// <summary>Opens a folder of any layout as the hub form would have it: the same tensors under the reference library's names and shapes, the same fields of configuration.</summary>
public static class LayoutReader
{
    const string AutoEncoder = "AutoEncoder", Sae = "BatchTopKSAE";

    /// <summary>The folder's tensors, to be disposed, and its configuration.</summary>
    /// <exception cref="DiffractException">A file is damaged, or the dictionary needs something that the hub form or this program does not know; the message names it.</exception>
    public static (TensorFile Tensors, JsonFields Config) Open(FolderFiles files)
    {
        JsonObject config = files.ReadConfig();
        JsonFields fields = new(files.Config, config);
        TensorFile tensors = files.Weights.EndsWith(".pt", StringComparison.Ordinal) ? new TorchStateDict(files.Weights) : SafetensorsFile.Open(files.Weights);
        try
        {
            (tensors, config) = files.Layout switch
            {
                FolderLayout.Hub => (tensors, config),
                FolderLayout.Dedicated when !fields.Has("trainer") => OpenDedicated(tensors, fields),
                FolderLayout.Local or FolderLayout.Dedicated => OpenLocal(tensors, fields),
                FolderLayout.Blocks => OpenBlocks(tensors, fields),
                FolderLayout.SaeLens => OpenSaeLens(tensors, fields),
                _ => OpenSparsify(tensors, fields),
            };
            return (tensors, new JsonFields(files.Config, config));
        }
        catch
        {
            tensors.Dispose();
            throw;
        }
    }

    static (TensorFile Tensors, JsonObject Config) OpenLocal(TensorFile tensors, JsonFields fields)
    {
        JsonFields trainer = fields.Part("trainer") ?? throw new DiffractException($"{fields.FilePath} has no part trainer; wanted the configuration that was saved with the state dict");
        JsonFields? kwargs = trainer.Part("dict_class_kwargs");
        JsonObject config = [];
        foreach (string name in (ReadOnlySpan<string>)["dict_class", "code_normalization", "sparsity_loss_type"])
        {
            config[name] = trainer.Text(name) ?? kwargs?.Text(name);
        }

        foreach (string name in (ReadOnlySpan<string>)["activation_dim", "dict_size", "k", PublishedCrosscoder.BaseOnlyName, PublishedCrosscoder.ChatOnlyName])
        {
            config[name] = trainer.Integer(name);
        }

        config[PublishedCrosscoder.LargestPerToken] = trainer.Flag(PublishedCrosscoder.LargestPerToken);

        foreach (string name in (ReadOnlySpan<string>)["code_normalization_alpha_sae", "code_normalization_alpha_cc", "sparsity_loss_alpha_sae", "sparsity_loss_alpha_cc"])
        {
            config[name] = trainer.Number(name);
        }

        // The library keeps these as the texts that Python prints.
        if (kwargs?.Text("encoder_layers") is { } layers and not "None")
        {
            string[] items = layers.Trim('[', ']', '(', ')').Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries);
            config["encoder_layers"] = items.All(i => int.TryParse(i, out _))
                ? new JsonArray([.. items.Select(i => JsonValue.Create(int.Parse(i, System.Globalization.CultureInfo.InvariantCulture)))])
                : throw new DiffractException($"{fields.FilePath}: encoder_layers is {layers}, wanted a list of models");
        }

        return trainer.Text("dict_class") == AutoEncoder ? OpenAutoEncoder(tensors, config) : (tensors, config);
    }

    /// <summary>A ReLU autoencoder is an SAE whose threshold is 0; its one bias is taken off before the encoder and put back after the decoder.</summary>
    static (TensorFile Tensors, JsonObject Config) OpenAutoEncoder(TensorFile tensors, JsonObject config)
    {
        string prefix = PublishedTensors.FindPrefix(tensors, "") ?? "";
        TensorSet set = new(tensors);
        foreach (string name in (ReadOnlySpan<string>)["encoder.weight", "encoder.bias", "decoder.weight"])
        {
            set.Take(name, prefix + name);
        }

        set.Take("b_dec", prefix + "bias");
        set.Set("threshold", [0f]);
        config["dict_class"] = Sae;
        return (set, config);
    }

    static (TensorFile Tensors, JsonObject Config) OpenBlocks(TensorFile tensors, JsonFields fields)
    {
        (TensorSet set, long[] shape) = TakeModels(tensors, fields, "d_in");
        SetDecoder(set, tensors, shape, null);
        set.Take("encoder.weight", "W_enc");
        return (set, new JsonObject { ["dict_class"] = "CrossCoder" });
    }

    /// <summary>
    /// Latents of one model only come first ([0, n_a): model 0, then n_b of model 1), the rest is shared; the masks are multiplied in. Active are the k largest of each token.
    /// </summary>
    static (TensorFile Tensors, JsonObject Config) OpenDedicated(TensorFile tensors, JsonFields fields)
    {
        (TensorSet set, long[] shape) = TakeModels(tensors, fields, "activation_dim");
        (long models, long width, long latents) = (shape[0], shape[1], shape[2]);
        int first = fields.Integer("n_a") ?? throw Missing(fields, "n_a"), second = fields.Integer("n_b") ?? throw Missing(fields, "n_b");
        if (models != 2 || first < 0 || second < 0 || (long)first + second > latents)
        {
            throw new DiffractException($"{fields.FilePath}: n_a = {first} and n_b = {second} do not fit {models} models with {latents} latents");
        }

        bool Sees(long model, long latent) => latent >= (long)first + second || (latent < first ? model == 0 : model == 1);
        float[] encoder = tensors.Floats("W_enc", shape);
        for (long i = 0; i < encoder.LongLength; i++)
        {
            encoder[i] = Sees(i / (width * latents), i % latents) ? encoder[i] : 0;
        }

        set.Set("encoder.weight", encoder, shape);
        SetDecoder(set, tensors, shape, Sees);
        set.Set("k", [fields.Integer("k") ?? throw Missing(fields, "k")]);
        return (set, new JsonObject
        {
            ["dict_class"] = "BatchTopKCrossCoder",
            ["code_normalization"] = "NONE",
            [PublishedCrosscoder.BaseOnlyName] = first,
            [PublishedCrosscoder.ChatOnlyName] = second,
            [PublishedCrosscoder.LargestPerToken] = true,
        });
    }

    /// <summary>Both biases, and the shape of W_enc [models, width, latents].</summary>
    static (TensorSet Set, long[] Shape) TakeModels(TensorFile tensors, JsonFields fields, string widthField)
    {
        long[] shape = tensors["W_enc"].Shape;
        if (shape.Length != 3)
        {
            throw new DiffractException($"{tensors.FilePath}: tensor W_enc has the shape [{string.Join(", ", shape)}], wanted [models, width, latents]");
        }

        Expect(fields, widthField, shape[1]);
        Expect(fields, "dict_size", shape[2]);
        TensorSet set = new(tensors);
        set.Take("encoder.bias", "b_enc");
        set.Take("decoder.bias", "b_dec");
        return (set, shape);
    }

    /// <summary>decoder.weight [models, latents, width] from W_dec [latents, models, width].</summary>
    static void SetDecoder(TensorSet set, TensorFile tensors, long[] shape, Func<long, long, bool>? sees)
    {
        (long models, long width, long latents) = (shape[0], shape[1], shape[2]);
        float[] source = tensors.Floats("W_dec", latents, models, width), target = new float[source.LongLength];
        for (long m = 0; m < models; m++)
        {
            for (long j = 0; j < latents; j++)
            {
                if (sees is null || sees(m, j))
                {
                    Array.Copy(source, (j * models + m) * width, target, (m * latents + j) * width, width);
                }
            }
        }

        set.Set("decoder.weight", target, models, latents, width);
    }

    static (TensorFile Tensors, JsonObject Config) OpenSaeLens(TensorFile tensors, JsonFields fields)
    {
        string architecture = fields.Text("architecture") ?? "standard";
        if (architecture is not ("standard" or "jumprelu" or "topk"))
        {
            throw Unsupported(fields, $"architecture {architecture}", "standard, jumprelu or topk");
        }

        foreach ((string field, string wanted) in (ReadOnlySpan<(string, string)>)[("normalize_activations", "none"), ("reshape_activations", "none"), ("activation_fn_str", "relu"), ("activation_fn", "relu")])
        {
            if (fields.Text(field) is { } value && value != wanted)
            {
                throw Unsupported(fields, $"{field} = {value}", wanted);
            }
        }

        foreach (string field in (ReadOnlySpan<string>)["finetuning_scaling_factor", "rescale_acts_by_decoder_norm"])
        {
            if (fields.Flag(field) ?? false)
            {
                throw Unsupported(fields, field, "false");
            }
        }

        long[] shape = tensors["W_enc"].Shape;
        if (shape.Length != 2)
        {
            throw new DiffractException($"{tensors.FilePath}: tensor W_enc has the shape [{string.Join(", ", shape)}], wanted [d_in, d_sae]");
        }

        (long width, long latents) = (shape[0], shape[1]);
        Expect(fields, "d_in", width);
        Expect(fields, "d_sae", latents);
        float[] encoder = Turned(tensors.Floats("W_enc", width, latents), width, latents), bias = tensors.Floats("b_enc", latents), before = tensors.Floats("b_dec", width);
        if (!(fields.Flag("apply_b_dec_to_input") ?? true))
        {
            // x·W + b = (x - b_dec)·W + (b + b_dec·W).
            for (long j = 0; j < latents; j++)
            {
                double sum = bias[j];
                for (long d = 0; d < width; d++)
                {
                    sum += (double)before[d] * encoder[j * width + d];
                }

                bias[j] = (float)sum;
            }
        }

        TensorSet set = new(tensors);
        set.Set("encoder.weight", encoder, latents, width);
        set.Set("encoder.bias", bias, latents);
        set.Set("decoder.weight", Turned(tensors.Floats("W_dec", latents, width), latents, width), width, latents);
        set.Take("b_dec", "b_dec");
        set.Set("threshold", [architecture switch { "standard" => 0, "topk" => -1, _ => SaeLensThreshold(tensors, latents) }]);
        int? k = fields.Integer("k") ?? fields.Part("metadata")?.Integer("k");
        return architecture != "topk" || k is not null ? (set, SaeConfig(k, architecture == "topk")) : throw Missing(fields, "k");
    }

    static float SaeLensThreshold(TensorFile tensors, long latents)
    {
        float[] thresholds = tensors.Tensors.ContainsKey("threshold") ? tensors.Floats("threshold", latents) : Array.ConvertAll(tensors.Floats("log_threshold", latents), MathF.Exp);
        float first = thresholds.Length > 0 ? thresholds[0] : 0;
        int other = Array.FindIndex(thresholds, t => BitConverter.SingleToInt32Bits(t) != BitConverter.SingleToInt32Bits(first));
        return other < 0
            ? first
            : throw new DiffractException(FormattableString.Invariant(
                $"{tensors.FilePath} has a threshold for each latent ({first} for latent 0, {thresholds[other]} for latent {other}), which is not supported; wanted one for all"));
    }

    static (TensorFile Tensors, JsonObject Config) OpenSparsify(TensorFile tensors, JsonFields fields)
    {
        string activation = fields.Text("activation") ?? "topk";
        if (activation != "topk" || (fields.Flag("transcode") ?? false) || (fields.Flag("skip_connection") ?? false) || tensors.Tensors.ContainsKey("W_skip"))
        {
            throw Unsupported(fields, activation != "topk" ? $"activation {activation}" : "a transcoder or skip connection", "autoencoders with activation topk");
        }

        long[] shape = tensors["encoder.weight"].Shape;
        if (shape.Length != 2)
        {
            throw new DiffractException($"{tensors.FilePath}: tensor encoder.weight has the shape [{string.Join(", ", shape)}], wanted [latents, width]");
        }

        (long latents, long width) = (shape[0], shape[1]);
        Expect(fields, "d_in", width);
        TensorSet set = new(tensors);
        set.Take("encoder.weight", "encoder.weight");
        set.Take("encoder.bias", "encoder.bias");
        set.Take("b_dec", "b_dec");
        set.Set("decoder.weight", Turned(tensors.Floats("W_dec", latents, width), latents, width), width, latents);

        // Its own rule keeps the k largest of each token; only what was exported from here has a threshold beside it.
        double? threshold = fields.Number("threshold");
        set.Set("threshold", [(float)(threshold ?? -1)]);
        return (set, SaeConfig(fields.Integer("k") ?? throw Missing(fields, "k"), threshold is null));
    }

    static JsonObject SaeConfig(int? k, bool largestPerToken) => new() { ["dict_class"] = Sae, ["k"] = k, [PublishedCrosscoder.LargestPerToken] = largestPerToken };

    static float[] Turned(float[] source, long rows, long columns)
    {
        float[] target = new float[source.LongLength];
        for (long r = 0; r < rows; r++)
        {
            for (long c = 0; c < columns; c++)
            {
                target[c * rows + r] = source[r * columns + c];
            }
        }

        return target;
    }

    static void Expect(JsonFields fields, string field, long got)
    {
        if (fields.Integer(field) is { } said && said != got)
        {
            throw new DiffractException($"{fields.FilePath} says {field} {said}, the tensors have {got}; the two files do not belong together");
        }
    }

    static DiffractException Missing(JsonFields fields, string field) => new($"{fields.FilePath} has no {field}");

    static DiffractException Unsupported(JsonFields fields, string what, string wanted) => new($"{fields.FilePath} needs {what}, which is not supported; wanted {wanted}");
}
