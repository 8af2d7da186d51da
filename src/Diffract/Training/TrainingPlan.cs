using System.Diagnostics;
using System.Globalization;
using Diffract.Activations;
using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Crosscoders;
using Diffract.Runs;

namespace Diffract.Training;

/// <summary>Says before a training what it takes: steps, tokens, memory, time; and refuses it where the memory is too small.</summary>
public static class TrainingPlan
{
    /// <summary>A step's time in units of its encode, measured on small dictionaries: three products more for the dense L1 step, less for sparse ones.</summary>
    const double BatchTopKEncodes = 2.5;

    const double L1Encodes = 4;

    /// <summary>Bytes of trainings that share a pass.</summary>
    public static long Bytes(params ReadOnlySpan<TrainingConfig> configs)
    {
        long bytes = 0;
        foreach (TrainingConfig config in configs)
        {
            bytes += TrainingMemory.Bytes(config);
        }

        return bytes;
    }

    /// <exception cref="DiffractException">Less memory than they take together.</exception>
    public static void RequireMemory(MemoryBudget memory, params ReadOnlySpan<TrainingConfig> configs) => TrainingMemory.Require(configs, memory);

    /// <summary>Weights and moments, finished and in the three checkpoints that are there while the third is written, must fit on the disk.</summary>
    /// <exception cref="DiffractException">Less room than that.</exception>
    public static void RequireDisk(ReadOnlySpan<TrainingConfig> configs, string folder)
    {
        long bytes = 0;
        foreach (TrainingConfig config in configs)
        {
            CrosscoderConfig c = config.Crosscoder;
            bytes += 12L * sizeof(float) * (2L * c.Latents * c.E + c.Latents + c.E);
        }

        long free = new DriveInfo(folder).AvailableFreeSpace;
        if (bytes > free)
        {
            throw new DiffractException($"the crosscoder, its moments and checkpoints take {Size(bytes)}, {folder} has {Size(free)} free; free some space or lower --latents");
        }
    }

    /// <summary>Prints the plan, with a time estimated from one encode of the first batch, and γ of each model.</summary>
    /// <returns>What the raw activations look like.</returns>
    public static ActivationShape Announce(string what, TrainingConfig config, Crosscoder crosscoder, IBatchSource source, long firstStep, IProgressSink progress)
    {
        CrosscoderConfig c = config.Crosscoder;
        Matrix acts_BE = crosscoder.Backend.Matrix(config.Batch, c.E);
        double seconds = ProbeEncode(crosscoder, source, acts_BE) * (c.Kind == CrosscoderKind.L1 ? L1Encodes : BatchTopKEncodes) * (config.Steps - firstStep);
        ActivationShape shape = ActivationShape.Of(source, acts_BE);
        acts_BE.Buffer.Dispose();
        string kind = c.Kind switch
        {
            CrosscoderKind.BatchTopK when c.Sae => $"SAE, BatchTopK, k {c.K}",
            CrosscoderKind.BatchTopK => $"BatchTopK, k {c.K}",
            CrosscoderKind.JumpReLU => FormattableString.Invariant($"JumpReLU, mu {config.Mu}, begins with k {c.K}"),
            _ => FormattableString.Invariant($"L1, mu {config.Mu}"),
        };
        long presented = config.Steps * config.Batch;
        progress.Line(string.Create(
            CultureInfo.InvariantCulture,
            $"{what}: {kind}, {c.Latents:N0} latents on widths {string.Join(" + ", c.Widths)}; {config.Steps:N0} steps of {config.Batch:N0} tokens ({presented:N0} presented, {(double)presented / source.DistinctTokens:F1} passes)"));
        progress.Line($"{what}: {Size(Bytes(config))} of memory{WhenDead(config)}, about {Duration(seconds)}, on {crosscoder.Backend.Description}" + (firstStep > 0 ? $"; going on at step {firstStep}" : ""));
        string normalised = crosscoder.Normalisation is { } norm ? FormattableString.Invariant($"; trained on activations normalised to a root mean square of {norm.TargetRms}") : "";
        progress.Line($"{what}: gamma (|mean|/|std|) by model: {string.Join(", ", shape.Gamma_M.Select(g => g.ToString("F2", CultureInfo.InvariantCulture)))}; "
            + string.Create(CultureInfo.InvariantCulture, $"attention sinks (longer than {ActivationShape.SinkMultiple} medians): ")
            + string.Join(", ", shape.SinkShare_M.Select(s => s.ToString("P3", CultureInfo.InvariantCulture))) + normalised);
        if (crosscoder.Normalisation is null && shape.Gamma_M.Any(g => g > ActivationShape.HighGamma))
        {
            progress.Warn("activations sit far from the origin for their spread; expect latents to die early, or take the means off with --normalise");
        }

        if (c.Kind == CrosscoderKind.BatchTopK && config.Steps - 1 <= config.ThresholdFrom)
        {
            progress.Warn($"the inference threshold starts above step {config.ThresholdFrom}, after the last of {config.Steps} steps: it stays unset, and inference will be dense; lower --threshold-from");
        }

        return shape;
    }

    /// <summary>Seconds of one warm encode.</summary>
    static double ProbeEncode(Crosscoder crosscoder, IBatchSource source, Matrix acts_BE)
    {
        source.Fill(0, acts_BE);
        using SparseCode code = crosscoder.NewCode(acts_BE.Rows);
        double best = double.PositiveInfinity;
        for (int run = 0; run < 2; run++)
        {
            long start = Stopwatch.GetTimestamp();
            if (crosscoder.Config.Kind == CrosscoderKind.BatchTopK)
            {
                crosscoder.EncodeLargest(acts_BE, crosscoder.Config.K * acts_BE.Rows, code);
            }
            else
            {
                crosscoder.EncodeNormalised(acts_BE, code);
            }

            best = Math.Min(best, Stopwatch.GetElapsedTime(start).TotalSeconds);
        }

        return best;
    }

    /// <summary>So many bytes in MiB or GiB.</summary>
    public static string Size(long bytes) => MemoryBudget.Size(bytes);

    /// <summary>What dead latents take on top: a crosscoder may end up with thousands of them, or none.</summary>
    static string WhenDead(TrainingConfig config)
    {
        int dead = Math.Min(1000, config.Crosscoder.Latents);
        long bytes = TrainingMemory.DeadBytes(config, dead);
        return bytes == 0 ? "" : string.Create(CultureInfo.InvariantCulture, $" ({Size(bytes)} more while {dead:N0} latents are dead)");
    }

    static string Duration(double seconds) => seconds switch
    {
        < 90 => string.Create(CultureInfo.InvariantCulture, $"{seconds:F0} s"),
        < 5400 => string.Create(CultureInfo.InvariantCulture, $"{seconds / 60:F0} min"),
        _ => string.Create(CultureInfo.InvariantCulture, $"{seconds / 3600:F1} h"),
    };

    /// <summary>Says which of the given options the kind does not use.</summary>
    public static void WarnUnused(TrainOptions options, CrosscoderKind kind, IProgressSink progress)
    {
        foreach (string name in options.WithoutEffect(kind))
        {
            progress.Warn($"{name} has no effect on {kind.Name()}; it belongs to {string.Join(" and ", Enum.GetValues<CrosscoderKind>().Where(k => !options.WithoutEffect(k).Contains(name)).Select(k => k.Name()))}");
        }
    }
}
