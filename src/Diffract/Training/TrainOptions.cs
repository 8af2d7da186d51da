using Diffract.Compute.Kernels;
using Diffract.Crosscoders;
using Diffract.Runs;

namespace Diffract.Training;

/// <summary>What a caller may say about a training; null leaves the default of the preset (in a run folder) or of spec 3 (on loose files).</summary>
public sealed record TrainOptions
{
    public CrosscoderKind? Kind { get; init; }

    /// <summary>A plain SAE: one model (spec 2.5). Always BatchTopK.</summary>
    public bool Sae { get; init; }

    /// <summary>SAE in a run folder: what it is trained on.</summary>
    public SaeTarget? Target { get; init; }

    /// <summary>Normalise activations by statistics of the training tokens (spec 1.10).</summary>
    public bool Normalise { get; init; }

    /// <summary>Root mean square that normalised activations have, by model; null for 1.</summary>
    public double? TargetRms { get; init; }

    public int? Latents { get; init; }

    public int? K { get; init; }

    public double? Mu { get; init; }

    /// <summary>Latents of the base model alone: a share below 1, or a number.</summary>
    public double? BaseOnly { get; init; }

    /// <summary>Latents of the chat model alone: a share below 1, or a number.</summary>
    public double? ChatOnly { get; init; }

    public double? Bandwidth { get; init; }

    public double? Bend { get; init; }

    /// <summary>L1: search the mu that leaves so many active latents per token, from <see cref="Mu"/> or the default on.</summary>
    public double? TargetL0 { get; init; }

    /// <summary>Steps of a trial of that search.</summary>
    public long? SearchSteps { get; init; }

    public double? LearningRate { get; init; }

    public long? Warmup { get; init; }

    public long? Steps { get; init; }

    public int? Batch { get; init; }

    public CodeNormKind? CodeNorm { get; init; }

    /// <summary>Code norm MIXED: weight of the length of all models' vectors together.</summary>
    public double? MixedAlphaSae { get; init; }

    /// <summary>Code norm MIXED: weight of the sum of the models' lengths.</summary>
    public double? MixedAlphaCc { get; init; }

    /// <summary>Models that the encoder reads; null for all.</summary>
    public int[]? EncoderModels { get; init; }

    public int? KInitial { get; init; }

    public long? KAnnealingSteps { get; init; }

    public long? ResampleEvery { get; init; }

    /// <summary>SAE: length of the encoder's first vectors.</summary>
    public double? EncoderInitNorm { get; init; }

    public LossKind? Loss { get; init; }

    /// <summary>0 turns clipping off.</summary>
    public double? Clip { get; init; }

    public int? KAux { get; init; }

    public double? AuxAlpha { get; init; }

    public long? DeadAfter { get; init; }

    public long? ThresholdFrom { get; init; }

    public double? ThresholdBeta { get; init; }

    public long? DecayStart { get; init; }

    /// <summary>Decides first weights, and the order of shuffled batches where <see cref="OrderSeed"/> does not.</summary>
    public int Seed { get; init; } = 42;

    /// <summary>Run folder: decides the order of the batches instead of the seed, so that trainings of several seeds see equal data.</summary>
    public int? OrderSeed { get; init; }

    /// <summary>Tokens that are shuffled among each other; null: <see cref="Activations.ShuffledOrder.DefaultWindow"/>.</summary>
    public int? Window { get; init; }

    /// <summary>Begin with one draw for all models; false draws for each, as models of different widths need; null: one where that is possible.</summary>
    public bool? SameInit { get; init; }

    /// <summary>Begin with the decoder as the encoder's transpose; false draws it.</summary>
    public bool TransposeInit { get; init; } = true;

    /// <summary>Length of each latent's first vectors; 0 leaves the draws as they are.</summary>
    public double? InitNorm { get; init; }

    public long? CheckpointEvery { get; init; }

    /// <summary>Also write the log for TensorBoard.</summary>
    public bool TensorBoard { get; init; }

    /// <summary>Go on from a checkpoint that was computed on another kernel path.</summary>
    public bool AllowOtherPath { get; init; }

    /// <summary>First weights of models of these widths, with vectors of length <paramref name="norm"/> where none was given.</summary>
    public CrosscoderInit Init(double norm, IReadOnlyCollection<int> widths)
        => new(Seed, SameInit ?? widths.Distinct().Count() == 1, TransposeInit, InitNorm is { } given ? (given == 0 ? null : given) : norm) { EncoderNorm = EncoderInitNorm ?? 1 };

    /// <summary>The dictionary that is asked for.</summary>
    /// <param name="kind">What decides which latents fire.</param>
    /// <param name="latents">L where none is given.</param>
    /// <param name="widths">Width of each model.</param>
    /// <param name="k">k where none is given.</param>
    public CrosscoderConfig Dictionary(CrosscoderKind kind, int latents, int[] widths, int k)
    {
        if (Sae && CodeNorm is not (null or CodeNormKind.None))
        {
            throw DiffractException.Argument("--code-norm belongs to crosscoders; an SAE selects by its unscaled code: leave it out, or leave out --kind sae");
        }

        latents = Latents ?? latents;
        return new CrosscoderConfig(kind, latents, widths)
        {
            Sae = Sae,
            CodeNorm = new CodeNorm(Sae ? CodeNormKind.None : CodeNorm ?? CodeNormKind.Crosscoder, MixedAlphaSae ?? 1.0, MixedAlphaCc ?? 0.1),
            EncoderModels = EncoderModels is { } read && read.SequenceEqual(Enumerable.Range(0, widths.Length)) ? null : EncoderModels,
            BaseOnly = Designated("--base-only", BaseOnly, latents),
            ChatOnly = Designated("--chat-only", ChatOnly, latents),
            K = K ?? Math.Min(k, latents),
        };
    }

    /// <summary>The partition that is asked for over a dictionary of this size; null where none is.</summary>
    public (int BaseOnly, int ChatOnly)? Partition(int latents)
        => BaseOnly is null && ChatOnly is null ? null : (Designated("--base-only", BaseOnly, latents), Designated("--chat-only", ChatOnly, latents));

    static int Designated(string name, double? value, int latents) => value switch
    {
        null => 0,
        >= 0 and < 1 => (int)Math.Round(value.Value * latents, MidpointRounding.ToEven),
        >= 1 and <= int.MaxValue when double.IsInteger(value.Value) => (int)value.Value,
        _ => throw DiffractException.Argument(FormattableString.Invariant($"{name} {value} does not fit; wanted a share of the latents below 1, or a number of them")),
    };

    /// <summary>Options that were given and belong to other kinds: named, so that nobody takes them for effective.</summary>
    public IEnumerable<string> WithoutEffect(CrosscoderKind kind)
    {
        bool l1 = kind == CrosscoderKind.L1, topK = kind == CrosscoderKind.BatchTopK;
        (string Name, bool Given, bool Used)[] options =
        [
            ("--k", K is not null, !l1), ("--k-initial", KInitial is not null, topK), ("--k-annealing-steps", KAnnealingSteps is not null, topK), ("--k-aux", KAux is not null, !l1),
            ("--aux-alpha", AuxAlpha is not null, !l1), ("--threshold-from", ThresholdFrom is not null, topK), ("--threshold-beta", ThresholdBeta is not null, topK),
            ("--mu", Mu is not null, !topK), ("--target-l0", TargetL0 is not null, !topK), ("--bandwidth", Bandwidth is not null, !l1 && !topK), ("--bend", Bend is not null, !l1 && !topK),
        ];
        return options.Where(o => o.Given && !o.Used).Select(o => o.Name);
    }

    /// <exception cref="DiffractException">A count below 1 that is used before the training's own settings are made.</exception>
    public void Check()
    {
        foreach ((string name, long? value) in ((string, long?)[])[("--batch", Batch), ("--latents", Latents), ("--steps", Steps), ("--checkpoint-every", CheckpointEvery)])
        {
            if (value < 1)
            {
                throw DiffractException.Argument($"{name} {value} does not fit; wanted at least 1");
            }
        }

        foreach ((string name, double? value) in ((string, double?)[])[("--mixed-alpha-sae", MixedAlphaSae), ("--mixed-alpha-cc", MixedAlphaCc), ("--encoder-init-norm", EncoderInitNorm)])
        {
            if (value is { } number && !(double.IsFinite(number) && number >= 0))
            {
                throw DiffractException.Argument(FormattableString.Invariant($"{name} {number} does not fit; wanted a number from 0"));
            }
        }

        if (TargetRms is { } rms && !(Normalise && double.IsFinite(rms) && rms > 0))
        {
            throw DiffractException.Argument(FormattableString.Invariant($"--target-rms {rms} does not fit; wanted a number above 0, with --normalise"));
        }

        if (Window < 1)
        {
            throw DiffractException.Argument($"--window {Window} does not fit; wanted at least 1 token");
        }

        if (Target is not null && !Sae)
        {
            throw DiffractException.Argument("--target belongs to --kind sae; a crosscoder is trained on both models");
        }

        if (EncoderInitNorm is not null && !Sae)
        {
            throw DiffractException.Argument("--encoder-init-norm belongs to --kind sae; a crosscoder's vectors begin at --init-norm");
        }

        if (InitNorm is { } norm && !(double.IsFinite(norm) && norm >= 0))
        {
            throw DiffractException.Argument(FormattableString.Invariant($"--init-norm {norm} does not fit; wanted a number from 0"));
        }
    }

    /// <summary>
    /// BatchTopK where only it has an option that was given, else null. Two kinds cannot be told apart by what they share.
    /// </summary>
    public CrosscoderKind? ImpliedKind => Kind ?? (!Sae && K is null && KInitial is null && KAnnealingSteps is null && KAux is null && AuxAlpha is null && ThresholdFrom is null && ThresholdBeta is null ? null : CrosscoderKind.BatchTopK);

    /// <summary>The defaults with everything that was given laid over them. Sizes and k are the crosscoder's and not touched here.</summary>
    /// <exception cref="DiffractException">
    /// A warm-up of BatchTopK that was given and does not end within the steps (spec 3.5). The default may outlast a short run, whose learning rate then only rises.
    /// </exception>
    public TrainingConfig Over(TrainingConfig defaults)
    {
        TrainingConfig config = Laid(defaults);
        return Warmup is null || Warmup < config.Steps || config.Crosscoder.Kind == CrosscoderKind.L1
            ? config
            : throw DiffractException.Argument($"--warmup {Warmup} does not fit; wanted 0 to {config.Steps - 1}, fewer than the {config.Steps} steps");
    }

    TrainingConfig Laid(TrainingConfig defaults) => defaults with
    {
        Steps = Steps ?? defaults.Steps,
        Batch = Batch ?? defaults.Batch,
        LearningRate = LearningRate ?? defaults.LearningRate,
        Warmup = Warmup ?? defaults.Warmup,
        DecayStart = DecayStart ?? defaults.DecayStart,
        Mu = Mu ?? defaults.Mu,
        Bandwidth = Bandwidth ?? defaults.Bandwidth,
        Bend = Bend ?? defaults.Bend,
        Loss = Loss ?? defaults.Loss,
        Clip = Clip is { } clip ? (clip == 0 ? null : clip) : defaults.Clip,
        KAux = KAux ?? defaults.KAux,
        AuxAlpha = AuxAlpha ?? defaults.AuxAlpha,
        DeadAfter = DeadAfter ?? defaults.DeadAfter,
        ThresholdFrom = ThresholdFrom ?? defaults.ThresholdFrom,
        ThresholdBeta = ThresholdBeta ?? defaults.ThresholdBeta,
        KInitial = KInitial ?? defaults.KInitial,
        KAnnealingSteps = KAnnealingSteps ?? defaults.KAnnealingSteps,
        ResampleEvery = ResampleEvery ?? defaults.ResampleEvery,
        Seed = Seed,
    };
}
