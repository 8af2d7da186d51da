using System.Text.Json.Nodes;
using Diffract.Compute.Kernels;
using Diffract.Crosscoders;
using Diffract.Runs;

namespace Diffract.Training;

/// <summary>Everything that decides how a crosscoder is trained. Defaults are spec 3's; <see cref="Check"/> runs before any work.</summary>
public sealed record TrainingConfig
{
    /// <summary>Kind, sizes, code norm and k.</summary>
    public required CrosscoderConfig Crosscoder { get; init; }

    /// <summary>Steps to train, counted from 0.</summary>
    public required long Steps { get; init; }

    /// <summary>Tokens of a batch.</summary>
    public int Batch { get; init; } = 2048;

    /// <summary>Learning rate after the warm-up.</summary>
    public double LearningRate { get; init; } = 1e-3;

    /// <summary>Steps over which the learning rate rises linearly from 0.</summary>
    public long Warmup { get; init; } = 1000;

    /// <summary>Step from which the learning rate falls linearly to 0 at the end; null for never.</summary>
    public long? DecayStart { get; init; }

    /// <summary>BatchTopK: active latents per token at the first step, from which k goes linearly to its own within <see cref="KAnnealingSteps"/>; null for k throughout.</summary>
    public int? KInitial { get; init; }

    /// <summary>BatchTopK: steps over which k is annealed.</summary>
    public long KAnnealingSteps { get; init; }

    /// <summary>L1: steps between two resamplings of dead latents, after each of which the learning rate rises anew; null for none.</summary>
    public long? ResampleEvery { get; init; }

    /// <summary>Decides which rows a resampling draws.</summary>
    public long Seed { get; init; } = 42;

    /// <summary>L1 and JumpReLU: weight of the sparsity term.</summary>
    public double Mu { get; init; } = 0.1;

    /// <summary>The reconstruction term.</summary>
    public LossKind Loss { get; init; } = LossKind.Norm;

    /// <summary>Largest norm of all gradients together; null for no clipping.</summary>
    public double? Clip { get; init; }

    /// <summary>BatchTopK and JumpReLU: dead latents per token in the auxiliary loss; null for half a model's width.</summary>
    public int? KAux { get; init; }

    /// <summary>BatchTopK and JumpReLU: weight of the auxiliary loss.</summary>
    public double AuxAlpha { get; init; } = 1.0 / 32;

    /// <summary>Tokens without firing after which a latent counts as dead.</summary>
    public long DeadAfter { get; init; } = 10_000_000;

    /// <summary>BatchTopK: the inference threshold follows the batches of the steps above this one.</summary>
    public long ThresholdFrom { get; init; } = 1000;

    /// <summary>BatchTopK: share of the threshold that each step keeps.</summary>
    public double ThresholdBeta { get; init; } = 0.999;

    /// <summary>L1: above this share of active pairs in the step before, a step is computed densely. Measured break-even of the two forms: 0.2 to 0.25. It changes speed and rounding, not the method.</summary>
    public double DenseAbove { get; init; } = 0.2;

    /// <summary>JumpReLU: width ε of the kernel through which thresholds feel the pairs about them, in units of the scaled activation of one of k equal latents.</summary>
    public double Bandwidth { get; init; } = 0.5;

    /// <summary>JumpReLU: the scaled activation u at which the penalty bends over, in the same unit.</summary>
    public double Bend { get; init; } = 0.2;

    /// <summary>Dead latents per token in the auxiliary loss, resolved.</summary>
    public int AuxPerToken => KAux ?? Math.Max(1, Crosscoder.E / Crosscoder.Models / 2);

    /// <summary>k of a step: max(1, round(k₀ - (k₀ - k)·step/A)) within the A annealing steps, halves to even (spec 3.5).</summary>
    public int KAt(long step) => KInitial is { } first && step < KAnnealingSteps
        ? Math.Max(1, (int)Math.Round(first - (first - Crosscoder.K) * (double)step / KAnnealingSteps, MidpointRounding.ToEven))
        : Crosscoder.K;

    /// <summary>The reconstruction term of a dictionary's own trainer: the squared error for an SAE, the length of the error for a crosscoder.</summary>
    public static LossKind DefaultLoss(CrosscoderConfig crosscoder) => crosscoder.Sae ? LossKind.Mse : LossKind.Norm;

    /// <summary>What the kind's own trainer does where the caller says nothing: BatchTopK and JumpReLU clip gradients to 1, L1 does not.</summary>
    public static double? DefaultClip(CrosscoderKind kind) => kind == CrosscoderKind.L1 ? null : 1;

    /// <exception cref="DiffractException">An argument error that says which setting does not fit.</exception>
    public void Check()
    {
        Crosscoder.Check();
        Require(Steps >= 1, $"--steps {Steps}", "at least 1");
        Require(Batch >= 1, $"--batch {Batch}", "at least 1");
        Require(Steps <= (1L << 53) / Batch, $"--steps {Steps} with --batch {Batch}", "at most 9,007,199,254,740,992 tokens in all");
        Require(double.IsFinite(LearningRate) && LearningRate >= 0, FormattableString.Invariant($"--lr {LearningRate}"), "a number from 0");
        Require(Warmup >= 0, $"--warmup {Warmup}", "at least 0");
        Require(
            DecayStart is null || (DecayStart > Warmup && DecayStart < Steps),
            $"--decay-start {DecayStart}",
            $"a step after the warm-up ({Warmup}) and before the last of {Steps}");
        Require(double.IsFinite(Mu) && Mu >= 0, FormattableString.Invariant($"--mu {Mu}"), "a number from 0");
        Require(Clip is null or > 0, FormattableString.Invariant($"--clip {Clip}"), "a number above 0");
        Require(KAux is null or >= 1, $"--k-aux {KAux}", "at least 1");
        Require(double.IsFinite(AuxAlpha) && AuxAlpha >= 0, FormattableString.Invariant($"--aux-alpha {AuxAlpha}"), "a number from 0");
        Require(DeadAfter >= 1, $"--dead-after {DeadAfter}", "at least 1 token");
        Require(ThresholdFrom >= 0, $"--threshold-from {ThresholdFrom}", "at least 0");
        Require(ThresholdBeta is >= 0 and < 1, FormattableString.Invariant($"--threshold-beta {ThresholdBeta}"), "a number from 0 to below 1");
        Require(KInitial is null || (KInitial >= 1 && KInitial <= Crosscoder.Latents), $"--k-initial {KInitial}", $"1 to {Crosscoder.Latents}");
        Require(KAnnealingSteps >= 0, $"--k-annealing-steps {KAnnealingSteps}", "at least 0");
        // The reference library stays at the first k where there are no annealing steps: nobody means that.
        Require(KInitial is null || Crosscoder.Kind != CrosscoderKind.JumpReLU, "--k-initial", "a BatchTopK training; JumpReLU begins with --k");
        Require(KInitial is null || KInitial == Crosscoder.K || KAnnealingSteps > 0, $"--k-initial {KInitial} without --k-annealing-steps", "both, so that k arrives");
        Require(ResampleEvery is null or >= 1, $"--resample-steps {ResampleEvery}", "at least 1");
        Require(ResampleEvery is null || Crosscoder.Kind == CrosscoderKind.L1, "--resample-steps", "an L1 training; BatchTopK and JumpReLU keep latents alive by the auxiliary loss");
        Require(double.IsFinite(Bandwidth) && Bandwidth > 0, FormattableString.Invariant($"--bandwidth {Bandwidth}"), "a number above 0");
        Require(double.IsFinite(Bend) && Bend > 0, FormattableString.Invariant($"--bend {Bend}"), "a number above 0");
        long pairs = (long)Batch * Math.Max(Crosscoder.K, KInitial ?? 0);
        Require(Crosscoder.Kind == CrosscoderKind.L1 || pairs <= int.MaxValue / 2, $"--batch {Batch} with --k {Crosscoder.K}", "at most 1,073,741,823 active pairs a batch");
    }

    /// <summary>The settings as manifests and checkpoints record them.</summary>
    public JsonObject ToJson()
    {
        JsonObject settings = Plain();
        // Only where they are used: the settings of earlier trainings stay what they were.
        void Add(bool used, string name, JsonNode? value)
        {
            if (used)
            {
                settings[name] = value;
            }
        }

        Add(Crosscoder.Sae, "sae", true);
        Add(Crosscoder.CodeNorm.Kind == CodeNormKind.Mixed, "mixedAlphas", new JsonArray(Crosscoder.CodeNorm.AlphaSae, Crosscoder.CodeNorm.AlphaCc));
        Add(Crosscoder.EncoderModels is not null, "encoderModels", new JsonArray([.. Crosscoder.ReadModels.Select(m => (JsonNode)m)]));
        Add(Crosscoder.Partitioned, "baseOnly", Crosscoder.BaseOnly);
        Add(Crosscoder.Partitioned, "chatOnly", Crosscoder.ChatOnly);
        Add(KInitial is not null, "kInitial", KInitial);
        Add(KInitial is not null, "kAnnealingSteps", KAnnealingSteps);
        Add(ResampleEvery is not null, "resampleSteps", ResampleEvery);
        bool jump = Crosscoder.Kind == CrosscoderKind.JumpReLU;
        Add(jump, "kAtStart", Crosscoder.K);
        Add(jump, "bandwidth", Bandwidth);
        Add(jump, "bend", Bend);
        return settings;
    }

    JsonObject Plain() => new()
    {
        ["kind"] = Crosscoder.Kind.Name(),
        ["latents"] = Crosscoder.Latents,
        ["widths"] = new JsonArray([.. Crosscoder.Widths.Select(w => (JsonNode)w)]),
        ["codeNorm"] = CodeNormIds.Name(Crosscoder.CodeNorm.Kind),
        ["k"] = Crosscoder.Kind == CrosscoderKind.BatchTopK ? Crosscoder.K : null,
        ["steps"] = Steps,
        ["batch"] = Batch,
        ["learningRate"] = LearningRate,
        ["warmup"] = Warmup,
        ["decayStart"] = DecayStart,
        ["mu"] = Crosscoder.Kind != CrosscoderKind.BatchTopK ? Mu : null,
        ["loss"] = Loss == LossKind.Mse ? "mse" : "norm",
        ["clip"] = Clip,
        ["kAux"] = AuxPerToken,
        ["auxAlpha"] = AuxAlpha,
        ["deadAfter"] = DeadAfter,
        ["thresholdFrom"] = ThresholdFrom,
        ["thresholdBeta"] = ThresholdBeta,
        ["denseAbove"] = DenseAbove,
        ["shards"] = VirtualShards.Count,
    };

    static void Require(bool holds, string got, string wanted)
    {
        if (!holds)
        {
            throw DiffractException.Argument($"{got} does not fit; wanted {wanted}");
        }
    }
}
