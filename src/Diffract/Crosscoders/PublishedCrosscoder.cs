using System.Globalization;
using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Formats;
using Diffract.Runs;

namespace Diffract.Crosscoders;

/// <summary>
/// A dictionary from its published tensors, its configuration and what was chosen, in this order of precedence: choices, tensors, configuration. The tensors' names and shapes say
/// how many models and encoders there are, and whether it is an SAE (<c>b_dec</c>).
/// </summary>
public static class PublishedCrosscoder
{
    /// <summary>Reads the tensors under <paramref name="found"/>.</summary>
    /// <param name="file">The tensors.</param>
    /// <param name="found">Their prefix; null where there is no encoder.</param>
    /// <param name="config">The published configuration; empty where there is none.</param>
    /// <param name="choices">What wins over both.</param>
    /// <param name="backend">Where the weights lie.</param>
    /// <exception cref="DiffractException">Tensors that do not fit each other or the configuration, or something that is not supported; the message names it.</exception>
    public static Crosscoder Read(TensorFile file, string? found, JsonFields config, InitChoices choices, IBackend backend)
    {
        RefuseUnsupported(file, found, config);
        string prefix = found!;
        CrosscoderConfig made =
            file.Tensors.ContainsKey(prefix + "b_dec") || config.Text("dict_class") == SaeClass ? SaeConfig(file, prefix, config, choices)
            : file.Tensors.ContainsKey(prefix + "decoder.weight.0") ? ConfigByModel(file, prefix, config, choices)
            : Config(file, prefix, config, choices);
        if (made.Kind != CrosscoderKind.L1)
        {
            made = made with { K = choices.K ?? ReadK(file, prefix, config, made.Latents), LargestPerToken = PlainTopK(file, config) };
        }

        Crosscoder crosscoder = new(made, backend, ReadNormalisation(file, prefix, made));
        try
        {
            PublishedTensors.Read(file, prefix, made, crosscoder.WEnc_LE, crosscoder.BEnc_L, crosscoder.WDec_LE, crosscoder.BDec_E);
            ReadThresholds(file, prefix, crosscoder);
            crosscoder.ClearMasked();
            crosscoder.RefreshNorms();
            return crosscoder;
        }
        catch
        {
            crosscoder.Dispose();
            throw;
        }
    }

    /// <summary>Adds what is kept beside the weights: normalisation (NaN for none), code norm, k and threshold.</summary>
    public static void AddBuffers(TensorList writer, Crosscoder crosscoder)
    {
        CrosscoderConfig config = crosscoder.Config;
        ActivationNorm? norm = crosscoder.Normalisation;
        long[] wide = config.Sae || !config.EqualWidths ? [config.E] : [config.Models, config.Widths[0]];
        writer.Add("activation_mean", norm?.Mean_E ?? Filled(config.E, NotSet), wide);
        writer.Add("activation_std", norm?.Std_E ?? Filled(config.E, NotSet), wide);
        writer.Add("activation_global_scale", norm?.Scale_M ?? Filled(config.Models, 1), config.Sae ? [] : [config.Models]);
        writer.Add("target_rms", new[] { norm?.TargetRms ?? 1 }, []);
        if (!config.Sae)
        {
            writer.Add("code_normalization_id", new[] { CodeNormIds.Of(config.CodeNorm.Kind) }, []);
        }

        if (config.Kind == CrosscoderKind.BatchTopK)
        {
            writer.Add("k", new[] { config.K }, []);
            writer.Add("threshold", crosscoder.Thresholds, crosscoder.Decoupled ? [crosscoder.Thresholds.Length] : []);
        }
        else if (crosscoder.Threshold_L is { } threshold_L)
        {
            writer.Add("threshold", threshold_L, config.Latents);
        }
    }

    /// <summary>The thresholds, where the kind and the file have them: of BatchTopK one, or one for each model of a decoupled code; of JumpReLU one for each latent.</summary>
    public static void ReadThresholds(TensorFile file, string prefix, Crosscoder crosscoder)
    {
        if (crosscoder.Config.Kind == CrosscoderKind.L1 || !file.Tensors.TryGetValue(prefix + "threshold", out TensorEntry? entry))
        {
            return;
        }

        if (crosscoder.Threshold_L is { } threshold_L)
        {
            ReadThresholds(file, entry.Name, threshold_L);
            return;
        }

        float[] values = file.Floats(entry.Name);
        if (values.Length != crosscoder.Thresholds.Length && values.Length != 1)
        {
            throw new DiffractException(
                $"{file.FilePath}: tensor {entry.Name} has {values.Length} thresholds, wanted {crosscoder.Thresholds.Length}; a threshold for each model belongs to the code norm DECOUPLED (--code-norm decoupled)");
        }

        for (int m = 0; m < crosscoder.Thresholds.Length; m++)
        {
            crosscoder.Thresholds[m] = values[values.Length == 1 ? 0 : m];
        }
    }

    /// <summary>The published class of a dictionary.</summary>
    public static string ClassName(CrosscoderConfig config) => config.Sae ? SaeClass : config.Kind.ClassName();

    /// <summary>What a partition's sizes are called, in metadata and configurations.</summary>
    public const string BaseOnlyName = "n_a";

    public const string ChatOnlyName = "n_b";

    const string SaeClass = "BatchTopKSAE";

    /// <summary>What says that <see cref="CrosscoderConfig.LargestPerToken"/> holds, in metadata and configurations; left out where it does not.</summary>
    public const string LargestPerToken = "largest_per_token";

    /// <summary>torch's NaN: the positive one, which .NET's is not.</summary>
    static readonly float NotSet = BitConverter.UInt32BitsToSingle(0x7FC0_0000);

    static void ReadThresholds(TensorFile file, string name, Matrix threshold_L)
    {
        float[] values = file.Floats(name, threshold_L.Columns);
        int broken = Array.FindIndex(values, t => !(float.IsFinite(t) && t >= 0));
        if (broken >= 0)
        {
            throw new DiffractException(FormattableString.Invariant($"{file.FilePath}: the threshold of latent {broken} is {values[broken]}; wanted a number from 0"));
        }

        values.CopyTo(threshold_L.Row(0));
    }

    static CrosscoderConfig SaeConfig(TensorFile file, string prefix, JsonFields config, InitChoices choices)
    {
        long[] shape = Shape(file, prefix + "encoder.weight", 2, "[latents, width]");
        if (!Shape(file, prefix + "decoder.weight", 2, "[width, latents]").SequenceEqual([shape[1], shape[0]]))
        {
            throw new DiffractException($"{file.FilePath}: encoder.weight and decoder.weight of an SAE do not fit each other; wanted [latents, width] and [width, latents]");
        }

        if (choices.Kind is { } kind and not CrosscoderKind.BatchTopK || choices.CodeNorm is { } norm and not CodeNormKind.None)
        {
            throw DiffractException.Argument($"{file.FilePath} is an SAE (tensor b_dec), which is BatchTopK with code norm none; leave --kind and --code-norm out, or give --kind sae");
        }

        Expect(file, config, "activation_dim", shape[1]);
        Expect(file, config, "dict_size", shape[0]);
        return new CrosscoderConfig(CrosscoderKind.BatchTopK, (int)shape[0], [(int)shape[1]]) { Sae = true, CodeNorm = CodeNormKind.None };
    }

    static CrosscoderConfig Config(TensorFile file, string prefix, JsonFields config, InitChoices choices)
    {
        long[] encoder = Shape(file, prefix + "encoder.weight", 3, "[models, width, latents]");
        long[] decoder = Shape(file, prefix + "decoder.weight", 3, "[models, latents, width]");
        long models = decoder[0];
        if (decoder[1] != encoder[2] || decoder[2] != encoder[1] || encoder[0] > models)
        {
            // Before anything is allocated by these sizes.
            throw new DiffractException(
                $"{file.FilePath}: tensor {prefix}decoder.weight has the shape [{string.Join(", ", decoder)}], wanted [at least {encoder[0]}, {encoder[2]}, {encoder[1]}] beside the encoder's");
        }

        Expect(file, config, "activation_dim", encoder[1]);
        return Made(file, prefix, config, choices, [.. Enumerable.Repeat((int)encoder[1], (int)models)], (int)encoder[2], EncoderModels(file, config, choices, (int)encoder[0], (int)models));
    }

    /// <summary>Models of different widths, a tensor each.</summary>
    static CrosscoderConfig ConfigByModel(TensorFile file, string prefix, JsonFields config, InitChoices choices)
    {
        int models = 0;
        while (file.Tensors.ContainsKey($"{prefix}decoder.weight.{models}"))
        {
            models++;
        }

        long[][] decoders = [.. Enumerable.Range(0, models).Select(m => Shape(file, $"{prefix}decoder.weight.{m}", 2, "[latents, width]"))];
        long latents = decoders[0][0];
        int[] widths = [.. decoders.Select(d => (int)d[1])];
        int[] read = [.. Enumerable.Range(0, models).Where(m => file.Tensors.ContainsKey($"{prefix}encoder.weight.{m}"))];
        int strange = Array.FindIndex(decoders, d => d[0] != latents);
        if (strange >= 0)
        {
            throw new DiffractException($"{file.FilePath}: decoder.weight.{strange} has {decoders[strange][0]} latents, decoder.weight.0 has {latents}; the two do not belong together");
        }

        foreach (int m in read)
        {
            if (!Shape(file, $"{prefix}encoder.weight.{m}", 2, "[width, latents]").SequenceEqual([widths[m], latents]))
            {
                throw new DiffractException($"{file.FilePath}: encoder.weight.{m} has the shape [{string.Join(", ", file[$"{prefix}encoder.weight.{m}"].Shape)}], wanted [{widths[m]}, {latents}] beside its decoder");
            }
        }

        if (read.Length == 0 || widths.Distinct().Count() == 1)
        {
            throw new DiffractException($"{file.FilePath} has decoders for {models} models of width {string.Join(" and ", widths)} and encoders for {read.Length}; wanted an encoder, and models of different widths");
        }

        if ((choices.EncoderModels ?? config.Integers("encoder_layers")) is { } named && !named.SequenceEqual(read))
        {
            throw new DiffractException($"{file.FilePath}: the encoder reads the models {string.Join(", ", read)}, {string.Join(", ", named)} are named (--encoder-models, encoder_layers); wanted the same");
        }

        return Made(file, prefix, config, choices, widths, (int)latents, read.Length == models ? null : read);
    }

    static CrosscoderConfig Made(TensorFile file, string prefix, JsonFields config, InitChoices choices, int[] widths, int latents, int[]? encoderModels)
    {
        Expect(file, config, "num_layers", widths.Length);
        Expect(file, config, "dict_size", latents);
        CrosscoderKind kind = choices.Kind ?? CrosscoderKinds.FromClass(config.Text("dict_class"))
            ?? (file.Tensors.ContainsKey(prefix + "k") ? CrosscoderKind.BatchTopK : CrosscoderKind.L1);
        (int BaseOnly, int ChatOnly)? partition = choices.Partition?.Invoke(latents);
        return new CrosscoderConfig(kind, latents, widths)
        {
            CodeNorm = ReadCodeNorm(file, prefix, config, choices),
            EncoderModels = encoderModels,
            BaseOnly = partition?.BaseOnly ?? Designated(file, config, BaseOnlyName),
            ChatOnly = partition?.ChatOnly ?? Designated(file, config, ChatOnlyName),
        };
    }

    /// <summary>A partition's size, in the metadata of our tensors or in a configuration.</summary>
    static int Designated(TensorFile file, JsonFields config, string name)
    {
        string? said = (file as SafetensorsFile)?.Metadata.GetValueOrDefault(name);
        return said is null ? config.Integer(name) ?? 0
            : int.TryParse(said, NumberStyles.None, CultureInfo.InvariantCulture, out int count) ? count
            : throw new DiffractException($"{file.FilePath}: {name} is {said}; wanted a number of latents");
    }

    static int[]? EncoderModels(TensorFile file, JsonFields config, InitChoices choices, int encoders, int models)
    {
        int[]? named = choices.EncoderModels ?? config.Integers("encoder_layers");
        if (named is not null && named.Length != encoders)
        {
            throw new DiffractException($"{file.FilePath}: the encoder reads {encoders} of {models} models, {string.Join(", ", named)} are named (--encoder-models, encoder_layers); wanted {encoders} of them");
        }

        int[] read = named ?? [.. Enumerable.Range(0, encoders)];
        return read.SequenceEqual(Enumerable.Range(0, models)) ? null : read;
    }

    static int ReadK(TensorFile file, string prefix, JsonFields config, int latents)
        => file.Tensors.ContainsKey(prefix + "k") ? (int)Math.Clamp(Scalar(file, prefix + "k"), int.MinValue, int.MaxValue) : config.Integer("k") ?? Math.Min(100, latents);

    static CodeNorm ReadCodeNorm(TensorFile file, string prefix, JsonFields config, InitChoices choices)
    {
        double Alpha(string newer, string older, double otherwise) => config.Number(newer) ?? config.Number(older) ?? otherwise;
        return new CodeNorm(
            choices.CodeNorm ?? ReadCodeNormKind(file, prefix, config),
            Alpha("code_normalization_alpha_sae", "sparsity_loss_alpha_sae", choices.AlphaSae),
            Alpha("code_normalization_alpha_cc", "sparsity_loss_alpha_cc", choices.AlphaCc));
    }

    static CodeNormKind ReadCodeNormKind(TensorFile file, string prefix, JsonFields config)
    {
        if (file.Tensors.ContainsKey(prefix + "code_normalization_id"))
        {
            long id = Scalar(file, prefix + "code_normalization_id");
            return CodeNormIds.FromId(id) ?? throw Unsupported(file.FilePath, $"code normalisation number {id}");
        }

        // Files from before the buffer call the field sparsity_loss_type; older ones had only the norm of the paper.
        string name = config.Text("code_normalization") ?? config.Text("sparsity_loss_type") ?? "CROSSCODER";
        return CodeNormIds.FromName(name) ?? throw Unsupported(file.FilePath, $"code normalisation {name}");
    }

    /// <summary>Null where statistics are missing or hold NaN: the dictionary takes raw activations.</summary>
    static ActivationNorm? ReadNormalisation(TensorFile file, string prefix, CrosscoderConfig config)
    {
        string[] names = ["activation_mean", "activation_std"];
        string[] there = [.. names.Where(n => file.Tensors.ContainsKey(prefix + n))];
        if (there.Length == 1)
        {
            throw new DiffractException($"{file.FilePath} has {there[0]} but not {names.Single(n => n != there[0])}; wanted both or neither");
        }

        if (there.Length == 0)
        {
            return null;
        }

        float[] mean_E = file.Floats(prefix + names[0]), std_E = file.Floats(prefix + names[1]);
        if (mean_E.Length != config.E || std_E.Length != config.E)
        {
            throw new DiffractException($"{file.FilePath}: activation_mean and activation_std have {mean_E.Length} and {std_E.Length} values, wanted {config.E}");
        }

        if (mean_E.Any(float.IsNaN) || std_E.Any(float.IsNaN))
        {
            return null;
        }

        float rms = file.Tensors.ContainsKey(prefix + "target_rms") ? file.Floats(prefix + "target_rms") is [float value] ? value : throw new DiffractException($"{file.FilePath}: tensor target_rms has {file[prefix + "target_rms"].Elements} values, wanted one") : 1;
        ActivationNorm norm = ActivationNorm.From(mean_E, std_E, rms, config.ModelOffsets);
        // Converted files fill it with NaN; then it follows from the statistics.
        float[]? scale_M = file.Tensors.ContainsKey(prefix + "activation_global_scale") ? file.Floats(prefix + "activation_global_scale") : null;
        return scale_M is not null && scale_M.Length == config.Models && scale_M.All(float.IsFinite) ? norm with { Scale_M = scale_M } : norm;
    }

    static void RefuseUnsupported(TensorFile file, string? prefix, JsonFields config)
    {
        if (config.Text("dict_class") is { } name and not SaeClass && CrosscoderKinds.FromClass(name) is null)
        {
            throw Unsupported(file.FilePath, $"dictionary class {name}");
        }

        foreach (string field in (ReadOnlySpan<string>)["latent_processor", "num_decoder_layers"])
        {
            bool all = field == "num_decoder_layers" && config.Written(field) == config.Written("num_layers");
            if (config.Has(field) && !all)
            {
                throw Unsupported(file.FilePath, $"{field} = {config.Written(field)}");
            }
        }

        if (prefix is null)
        {
            throw new DiffractException($"{file.FilePath} has no tensor encoder.weight; wanted the published names encoder.weight, encoder.bias, decoder.weight, decoder.bias (SAEs: b_dec)");
        }
    }

    static void Expect(TensorFile file, JsonFields config, string field, long got)
    {
        if (config.Integer(field) is { } said && said != got)
        {
            throw new DiffractException($"{file.FilePath}: the tensors say {field} {got}, the configuration says {said}; the two do not belong together");
        }
    }

    static bool PlainTopK(TensorFile file, JsonFields config)
        => config.Flag(LargestPerToken) ?? (file is SafetensorsFile safetensors && safetensors.Metadata.TryGetValue(LargestPerToken, out string? said) && said == "true");

    static long Scalar(TensorFile file, string name)
        => file.Integers(name) is [long value] ? value : throw new DiffractException($"{file.FilePath}: tensor {name} has {file[name].Elements} values, wanted one");

    static long[] Shape(TensorFile file, string name, int axes, string wanted)
    {
        long[] shape = file[name].Shape;
        return shape.Length == axes && shape.All(n => n is >= 1 and <= int.MaxValue)
            ? shape
            : throw new DiffractException($"{file.FilePath}: tensor {name} has the shape [{string.Join(", ", shape)}], wanted {wanted}");
    }

    static float[] Filled(int length, float value)
    {
        float[] values = new float[length];
        Array.Fill(values, value);
        return values;
    }

    static DiffractException Unsupported(string path, string what)
        => new($"{path} needs {what}, which is not supported; supported are CrossCoder, BatchTopKCrossCoder, JumpReLUCrossCoder and BatchTopKSAE");
}
