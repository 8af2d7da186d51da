using Diffract.Crosscoders;
using Diffract.Runs;

namespace Diffract.Training;

/// <summary>
/// A committed set of training settings. Those of a small run are shares of the run's own steps, so that a finished BatchTopK run always has its threshold, whatever its length.
/// Chosen on variance explained, L0 and dead share only, never on what a run finds.
/// </summary>
public sealed record Preset
{
    public required string Name { get; init; }

    /// <summary>Latents for each column of a model's width.</summary>
    public required int Expansion { get; init; }

    /// <summary>Tokens of a batch.</summary>
    public required int Batch { get; init; }

    /// <summary>BatchTopK: active latents per token; JumpReLU: those that its thresholds begin with.</summary>
    public required int K { get; init; }

    /// <summary>L1: weight of the sparsity term.</summary>
    public required double Mu { get; init; }

    /// <summary>JumpReLU: weight of the sparsity term.</summary>
    public double MuJumpReLU { get; init; } = 0.1;

    public required double LearningRateL1 { get; init; }

    public required double LearningRateBatchTopK { get; init; }

    /// <summary>L1: length of the first vectors. From 0.005, the paper's, most latents of a short run die before they have grown.</summary>
    public double InitNormL1 { get; init; } = 0.005;

    /// <summary>BatchTopK: length of the first vectors.</summary>
    public double InitNormBatchTopK { get; init; } = 1;

    /// <summary>JumpReLU: length of the first vectors. From 1 the first codes reconstruct worse than nothing, and most latents are driven under their thresholds at once.</summary>
    public double InitNormJumpReLU { get; init; } = 0.5;

    /// <summary>Passes over the training tokens.</summary>
    public required double Passes { get; init; }

    /// <summary>Fewest steps: a run with fewer tokens passes over them more often, or is refused where <see cref="Fixed"/> is set.</summary>
    public required long LeastSteps { get; init; }

    /// <summary>Share of the steps over which the learning rate rises.</summary>
    public double WarmupShare { get; init; }

    /// <summary>Share of the steps after which the inference threshold is followed.</summary>
    public double ThresholdShare { get; init; }

    /// <summary>Share of the presented tokens after which a silent latent counts as dead.</summary>
    public double DeadShare { get; init; }

    /// <summary>Share of the steps after which the learning rate falls to 0; null for never.</summary>
    public double? DecayShare { get; init; }

    /// <summary>Share of the threshold that a step keeps.</summary>
    public double ThresholdBeta { get; init; } = 0.999;

    /// <summary>Spec 3's own horizons instead of shares: warm-up and threshold start in steps, dead horizon in tokens.</summary>
    public (long Warmup, long ThresholdFrom, long DeadAfter)? Fixed { get; init; }

    /// <summary>Held-out tokens of a validation.</summary>
    public required long ValidationTokens { get; init; }

    /// <summary>The small-run preset: what the embedded pair and any run without --preset takes. Mu brings L1's validation L0 to BatchTopK's k on the embedded pair.</summary>
    public static Preset Demo { get; } = new()
    {
        Name = "demo",
        Expansion = 16,
        Batch = 1024,
        K = 16,
        Mu = 0.078,
        LearningRateL1 = 2e-3,
        InitNormL1 = 0.1,
        LearningRateBatchTopK = 2e-3,
        Passes = 4,
        LeastSteps = 1000,
        WarmupShare = 0.05,
        ThresholdShare = 0.5,
        DeadShare = 0.1,
        DecayShare = 0.8,
        ThresholdBeta = 0.99,
        ValidationTokens = 131_072,
    };

    /// <summary>The paper's Gemma runs (spec 3.1).</summary>
    public static Preset Paper { get; } = new()
    {
        Name = "paper",
        Expansion = 32,
        Batch = 2048,
        K = 100,
        Mu = 0.041,
        LearningRateL1 = 1e-4,
        LearningRateBatchTopK = 1e-4,
        Passes = 2,
        // Twice the dead horizon: a shorter run would hardly know which latents are dead.
        LeastSteps = 2 * (10_000_000 / 2048 + 1),
        Fixed = (1000, 1000, 10_000_000),
        ValidationTokens = 2_000_000,
    };

    /// <exception cref="DiffractException">No preset of that name.</exception>
    public static Preset Of(string name) => name switch
    {
        "demo" => Demo,
        "paper" => Paper,
        _ => throw DiffractException.Argument($"--preset {name} is unknown; wanted demo or paper"),
    };

    /// <summary>Length of a kind's first vectors.</summary>
    public double InitNorm(CrosscoderKind kind) => kind switch
    {
        CrosscoderKind.L1 => InitNormL1,
        CrosscoderKind.JumpReLU => InitNormJumpReLU,
        _ => InitNormBatchTopK,
    };

    /// <summary>The settings for a run, with what was given laid over them.</summary>
    /// <param name="kind">What to train.</param>
    /// <param name="widths">Width of each model.</param>
    /// <param name="trainingTokens">Tokens of the training split.</param>
    /// <param name="options">What the caller said.</param>
    /// <exception cref="DiffractException">A preset with fixed horizons on a run too short for them, or settings that do not fit.</exception>
    public TrainingConfig Configure(CrosscoderKind kind, int[] widths, long trainingTokens, TrainOptions options)
    {
        options.Check();
        int batch = options.Batch ?? Batch;
        long steps = options.Steps ?? Math.Max(Fixed is null ? LeastSteps : 0, (long)(Passes * trainingTokens / batch));
        if (Fixed is not null && steps < LeastSteps)
        {
            long tokens = (long)Math.Ceiling(LeastSteps * batch / Passes);
            throw DiffractException.Argument(
                $"--preset {Name} takes at least {LeastSteps} steps, {tokens:N0} training tokens passed over {Passes} times; this run has {trainingTokens:N0} ({steps} steps); harvest more tokens (about twice as many in all splits) or leave --preset out");
        }

        if (trainingTokens < batch)
        {
            throw new DiffractException($"{trainingTokens:N0} training tokens are fewer than one batch of {batch}; tokenize more text, or lower --batch");
        }

        int latents = options.Latents ?? Expansion * widths.Max();
        CrosscoderConfig crosscoder = options.Dictionary(kind, latents, widths, K);
        long Share(double share) => (long)(share * steps);
        TrainingConfig config = options.Over(new TrainingConfig
        {
            Crosscoder = crosscoder,
            Steps = steps,
            Batch = batch,
            LearningRate = kind == CrosscoderKind.L1 ? LearningRateL1 : LearningRateBatchTopK,
            Warmup = Fixed?.Warmup ?? Share(WarmupShare),
            ThresholdFrom = Fixed?.ThresholdFrom ?? Share(ThresholdShare),
            DeadAfter = Fixed?.DeadAfter ?? Math.Max(1, (long)(DeadShare * steps * batch)),
            DecayStart = DecayShare is { } share && Share(share) > (options.Warmup ?? Share(WarmupShare)) ? Share(share) : null,
            ThresholdBeta = ThresholdBeta,
            Mu = kind == CrosscoderKind.JumpReLU ? MuJumpReLU : Mu,
            Loss = TrainingConfig.DefaultLoss(crosscoder),
            Clip = TrainingConfig.DefaultClip(kind),
        });
        config.Check();
        return config;
    }
}
