using Diffract.Compute.Kernels;
using Diffract.Formats;
using Diffract.Runs;

namespace Diffract.Llms;

/// <summary>
/// A checkpoint's config.json in our words. Both spellings are read: that of transformers 5 (<c>rope_parameters</c>, <c>layer_types</c>) and that of published
/// checkpoints (<c>rope_theta</c>, <c>rope_scaling</c>); an absent key takes the default of the family's configuration class.
/// </summary>
public sealed record LlmConfig
{
    /// <summary>More blocks than any model has.</summary>
    const int MostLayers = 4096;

    /// <summary>More elements than all heads of any model have together.</summary>
    const int MostProjected = 1 << 24;

    /// <summary>Activations by their names in config.json.</summary>
    internal static readonly IReadOnlyDictionary<string, Activation> ActivationNames = new Dictionary<string, Activation>(StringComparer.Ordinal)
    {
        ["gelu"] = Activation.Gelu,
        ["gelu_new"] = Activation.GeluTanh,
        ["gelu_fast"] = Activation.GeluTanh,
        ["gelu_pytorch_tanh"] = Activation.GeluTanh,
        ["silu"] = Activation.Silu,
        ["swish"] = Activation.Silu,
    };

    /// <summary><c>model_type</c>.</summary>
    public string Family => Traits.Name;

    /// <summary>The family's names and switches.</summary>
    public required LlmFamily Traits { get; init; }

    /// <summary>D: width of the residual stream.</summary>
    public required int Width { get; init; }

    /// <summary>F: inner width of an MLP.</summary>
    public required int MlpWidth { get; init; }

    /// <summary>Number of blocks.</summary>
    public required int Layers { get; init; }

    /// <summary>V: number of token ids.</summary>
    public required int Vocabulary { get; init; }

    /// <summary>Query heads.</summary>
    public required int Heads { get; init; }

    /// <summary>Key and value heads; each serves Heads / KeyValueHeads query heads.</summary>
    public required int KeyValueHeads { get; init; }

    /// <summary>H: width of a head.</summary>
    public required int HeadWidth { get; init; }

    /// <summary>The longest sequence that the model was made for, in tokens, and whose positions are computed.</summary>
    public required int ContextLimit { get; init; }

    /// <summary>ε of the norms.</summary>
    public required float NormEpsilon { get; init; }

    /// <summary>The longest sequence for which the rotary frequencies hold, in tokens; int.MaxValue: any.</summary>
    internal int LongestSequence => Longest(Rotary, SlidingRotary);

    /// <summary>Rotary positions of the blocks that attend in full; null where positions are learned.</summary>
    public required Rotary? Rotary { get; init; }

    /// <summary>Rotary positions of the blocks with a window; in most families the same.</summary>
    public required Rotary? SlidingRotary { get; init; }

    public required Activation Activation { get; init; }

    /// <summary>Whether the head is the embedding table.</summary>
    public required bool TiesEmbeddings { get; init; }

    /// <summary>Factor of q·k.</summary>
    public required float AttentionScale { get; init; }

    /// <summary>Whether block i divides it by i + 1.</summary>
    public required bool ScalesByLayer { get; init; }

    /// <summary>Whether queries, keys and values have biases.</summary>
    public required bool QueryKeyValueBias { get; init; }

    /// <summary>Whether the attention's output has a bias.</summary>
    public required bool OutputBias { get; init; }

    /// <summary>Whether the MLP's matrices have biases.</summary>
    public required bool MlpBias { get; init; }

    /// <summary>Whether attention and MLP both read the block's input, and both are added to it.</summary>
    public required bool ParallelResidual { get; init; }

    /// <summary>Window of each block, in tokens, the query included; 0 attends in full.</summary>
    public required IReadOnlyList<int> Windows { get; init; }

    /// <summary>Cap of the attention scores; 0: none.</summary>
    public required float AttentionSoftCap { get; init; }

    /// <summary>Cap of the logits; 0: none.</summary>
    public required float FinalSoftCap { get; init; }

    public required int? BosId { get; init; }

    /// <summary>Ids at which generation may stop.</summary>
    public required IReadOnlyList<int> EndIds { get; init; }

    /// <summary>Whether the MLP runs as one operation: gated, without biases.</summary>
    internal bool MlpIsOneOperation => !MlpBias && (Traits.Tensors.Gate ?? Traits.Tensors.GateUp) is not null;

    /// <summary>Reads <c>config.json</c> of a checkpoint folder; refuses families and options that are not computed, by the name of the field.</summary>
    public static LlmConfig Load(string folder)
    {
        using ConfigJson json = ConfigJson.Open(CheckpointFiles.Config(folder));
        string supported = string.Join(", ", LlmFamily.Supported.Keys.Order(StringComparer.Ordinal));
        if (json.Switched("text_config") is not null)
        {
            throw json.Refuse("text_config", "present", $"the text model's own config.json, without an image or sound model around it; supported: {supported}");
        }

        string type = json.Text("model_type") ?? throw json.Refuse("model_type", "absent", $"one of {supported}");
        if (!LlmFamily.Supported.TryGetValue(type, out LlmFamily? family))
        {
            throw new DiffractException($"{json.Path}: model_type {type} is not supported; supported: {supported}");
        }

        LlmConfig config = Read(json, family);
        ForeignSwitches.Refuse(json, family, config.Windows);
        return config;
    }

    /// <summary>The keys that a family's reader asks for, in the order of asking.</summary>
    internal static IReadOnlyList<string> FieldsOf(LlmFamily family)
    {
        using ConfigJson json = ConfigJson.Empty();
        Read(json, family);
        return json.Asked;
    }

    static LlmConfig Read(ConfigJson json, LlmFamily family)
    {
        (LlmKeys keys, LlmDefaults absent) = (family.Keys, family.Defaults);
        int layers = json.Count(keys.Layers, absent.Layers, MostLayers);
        int width = json.Count(keys.Width, absent.Width);
        int heads = json.Count(keys.Heads, absent.Heads);
        int keyValueHeads = keys.KeyValueHeads is { } k ? json.CountOrNone(k, absent.KeyValueHeads) : 0;
        int headWidth = HeadWidthOf(json, family, width, heads);
        keyValueHeads = keyValueHeads == 0 ? heads : keyValueHeads;
        if (heads % keyValueHeads != 0)
        {
            throw json.Refuse(keys.KeyValueHeads!, $"{keyValueHeads}", $"a divisor of {keys.Heads}, {heads}");
        }

        if ((long)heads * headWidth > MostProjected)
        {
            throw json.Refuse(keys.Heads, $"{heads}", $"at most {MostProjected / headWidth} heads of width {headWidth}");
        }

        int mlpWidth = json.Count(keys.MlpWidth, absent.MlpWidth);
        (Rotary Full, Rotary Sliding)? rotary = family.LearnsPositions ? null : RotaryReader.Read(json, family, headWidth);
        bool attentionBias = keys.AttentionBias is { } a && (json.Flag(a) ?? absent.AttentionBias);
        bool mlpBias = keys.MlpBias is { } m && json.Flag(m) == true;
        return new LlmConfig
        {
            Traits = family,
            Width = width,
            MlpWidth = mlpWidth == 0 ? 4 * width : mlpWidth,
            Layers = layers,
            Vocabulary = json.Count("vocab_size", absent.Vocabulary),
            Heads = heads,
            KeyValueHeads = keyValueHeads,
            HeadWidth = headWidth,
            ContextLimit = Math.Min(json.Count(keys.ContextLimit, absent.ContextLimit), Longest(rotary?.Full, rotary?.Sliding)),
            NormEpsilon = (float)json.Positive(keys.NormEpsilon, absent.NormEpsilon),
            Rotary = rotary?.Full,
            SlidingRotary = rotary?.Sliding,
            Activation = ReadActivation(json, family),
            TiesEmbeddings = json.Flag("tie_word_embeddings") ?? absent.TiesEmbeddings,
            AttentionScale = AttentionScaleOf(json, family, headWidth),
            ScalesByLayer = keys.ScalesByLayer is { } l && json.Flag(l) == true,
            QueryKeyValueBias = Has(family.QueryKeyValueBias, attentionBias),
            OutputBias = Has(family.OutputBias, attentionBias),
            MlpBias = Has(family.MlpBias, mlpBias),
            ParallelResidual = keys.ParallelResidual is { } p && (json.Flag(p) ?? absent.ParallelResidual),
            Windows = WindowReader.Read(json, family, layers),
            AttentionSoftCap = keys.AttentionSoftCap is { } cap ? json.Cap(cap, absent.AttentionSoftCap) : 0,
            FinalSoftCap = keys.FinalSoftCap is { } final ? json.Cap(final, absent.FinalSoftCap) : 0,
            BosId = json.Present("bos_token_id") ? json.Ids("bos_token_id").Cast<int?>().FirstOrDefault() : absent.BosId,
            EndIds = json.Present("eos_token_id") ? json.Ids("eos_token_id") : absent.EndIds,
        };
    }

    /// <summary>What the rotary scalings of the blocks allow.</summary>
    static int Longest(params Rotary?[] rotaries) => rotaries.Select(r => r?.Scaling?.LongestSequence ?? 0).Where(n => n > 0).DefaultIfEmpty(int.MaxValue).Min();

    static bool Has(BiasRule rule, bool key) => rule == BiasRule.Always || (rule == BiasRule.ByKey && key);

    static int HeadWidthOf(ConfigJson json, LlmFamily family, int width, int heads)
    {
        int given = family.Keys.HeadWidth is { } key ? json.CountOrNone(key, family.Defaults.HeadWidth) : 0;
        return given > 0 ? given
            : width % heads == 0 ? width / heads
            : throw json.Refuse(family.Keys.Heads, $"{heads}", $"a divisor of {family.Keys.Width}, {width}");
    }

    static float AttentionScaleOf(ConfigJson json, LlmFamily family, int headWidth)
    {
        double scalar = family.Keys.QueryScalar is { } key ? json.Positive(key, family.Defaults.QueryScalar) : headWidth;
        bool scales = family.Keys.ScalesScores is not { } other || json.Flag(other) != false;
        return scales ? (float)(1 / Math.Sqrt(scalar)) : 1;
    }

    static Activation ReadActivation(ConfigJson json, LlmFamily family)
    {
        string field = family.Keys.Activation;
        string? name = json.Text(field);
        if (family.Keys.NewerActivation is { } newer)
        {
            string? chosen = json.Text(newer);
            (field, name) = chosen is not null ? (newer, chosen) : (field, name == "gelu" ? "gelu_pytorch_tanh" : name);
        }

        return name is null ? family.Defaults.Activation
            : ActivationNames.TryGetValue(name, out Activation activation) ? activation
            : throw json.Refuse(field, name, "one of " + string.Join(", ", ActivationNames.Keys));
    }
}
