using System.Globalization;
using System.Text.Json.Nodes;
using Diffract.Compute.Kernels;
using Diffract.Crosscoders;
using Diffract.Formats;
using Diffract.Runs;

namespace Diffract.Training;

/// <summary>What training on a loose file is asked for.</summary>
/// <param name="Activations">safetensors with <c>x</c> as [steps, B, M, D] or [N, M, D].</param>
/// <param name="Output">Folder to write.</param>
/// <param name="Options">What was said about the training; the rest is spec 3's.</param>
public sealed record LooseTrainSettings(string Activations, string Output, TrainOptions Options)
{
    /// <summary>safetensors with the first weights; null draws them.</summary>
    public string? Init { get; init; }

    /// <summary>Permute the tokens anew for each pass; else they come as stored.</summary>
    public bool Shuffled { get; init; }

    /// <summary>Passes over the file where no number of steps is given.</summary>
    public int Epochs { get; init; } = 1;

    /// <summary>Ignore checkpoints of an earlier call.</summary>
    public bool Fresh { get; init; }
}

/// <summary>Training on loose files: activations and first weights in, published files out.</summary>
public static class LooseTraining
{
    /// <summary>Latents per model width where nothing is said (spec 3.1).</summary>
    const int Expansion = 32;

    public static void Run(LooseTrainSettings settings, IBackend backend, IProgressSink progress, CancellationToken stop)
    {
        TrainOptions options = settings.Options;
        options.Check();
        if (settings.Epochs < 1)
        {
            throw DiffractException.Argument($"--epochs {settings.Epochs} does not fit; wanted at least 1");
        }

        using StoredBatches source = new(settings.Activations, options.Batch, settings.Shuffled ? options.Seed : null);
        CrosscoderKind kind = options.ImpliedKind ?? KindOf(settings.Init);
        using Crosscoder crosscoder = First(settings, kind, source, backend);
        long most = source.BatchesPerPass * settings.Epochs;
        if (options.Steps > most)
        {
            throw DiffractException.Argument(
                $"--steps {options.Steps} needs {options.Steps * source.Batch} tokens, {settings.Epochs} pass(es) over {settings.Activations} give {most} steps of {source.Batch}; raise --epochs or lower --steps");
        }

        TrainingConfig config = options.Over(new TrainingConfig { Crosscoder = crosscoder.Config, Steps = most, Batch = source.Batch, Clip = TrainingConfig.DefaultClip(kind) });
        config.Check();
        TrainingPlan.WarnUnused(options, kind, progress);
        TrainingPlan.RequireMemory(config);
        if (config.Warmup >= config.Steps)
        {
            progress.Warn($"the warm-up of {config.Warmup} steps outlasts the {config.Steps} steps of this run, whose learning rate only rises; give --warmup for another");
        }

        string checkpointFolder = Path.Combine(settings.Output, Training.Checkpoints.FolderName);
        Checkpoints? checkpoints = options.CheckpointEvery is null ? null : new Checkpoints(checkpointFolder, Identity(settings, config), keepAll: true) { AllowOtherPath = options.AllowOtherPath };
        using Trainer trainer = new(config, crosscoder, source);
        bool unfinished = !settings.Fresh && checkpoints is not null && !File.Exists(Path.Combine(settings.Output, CrosscoderFolder.ModelFile));
        string logPath = Path.Combine(settings.Output, TrainingLog.FileName);
        long keep = unfinished ? checkpoints!.Restore(trainer.State, crosscoder, logPath, progress) ?? 0 : 0;
        Discard(settings.Output, checkpointFolder, unfinished);
        TrainingPlan.Announce(config, crosscoder, source, trainer.State.Step, progress);
        using (TrainingLog log = new(logPath, keep, options.TensorBoard))
        {
            trainer.Run(new TrainingOutputs(log) { Checkpoints = checkpoints, CheckpointEvery = options.CheckpointEvery }, progress, stop);
        }

        OptimizerFile.Save(settings.Output, trainer.State, crosscoder);
        CrosscoderFolder.Save(settings.Output, crosscoder, settings.Init is null ? options.Init(Preset.Paper.InitNorm(kind)) : null);
        string threshold = kind == CrosscoderKind.BatchTopK ? string.Create(CultureInfo.InvariantCulture, $", threshold {crosscoder.Threshold:G5}") : "";
        progress.Done("train", $"{config.Steps} steps{threshold}, {settings.Output}");
    }

    /// <summary>The kind that a file of first weights was made for: one with k is BatchTopK.</summary>
    static CrosscoderKind KindOf(string? init)
    {
        if (init is null)
        {
            return CrosscoderKind.BatchTopK;
        }

        using SafetensorsFile file = SafetensorsFile.Open(init);
        string? prefix = PublishedTensors.FindPrefix(file, "", "init.");
        return prefix is null || file.Tensors.ContainsKey(prefix + "k") ? CrosscoderKind.BatchTopK : CrosscoderKind.L1;
    }

    static Crosscoder First(LooseTrainSettings settings, CrosscoderKind kind, StoredBatches source, IBackend backend)
    {
        TrainOptions options = settings.Options;
        if (settings.Init is null)
        {
            CrosscoderConfig config = new(kind, options.Latents ?? Expansion * source.Widths[0], source.Widths) { CodeNorm = options.CodeNorm ?? CodeNormKind.Crosscoder };
            config = options.K is { } k ? config with { K = k } : config;
            TrainingPlan.RequireMemory(new TrainingConfig { Crosscoder = config, Steps = 1, Batch = source.Batch });
            Crosscoder drawn = new(config, backend);
            options.Init(Preset.Paper.InitNorm(kind)).Apply(drawn);
            return drawn;
        }

        Crosscoder loaded = CrosscoderFolder.LoadInit(settings.Init, kind, options.CodeNorm, options.K, backend);
        if (options.Latents is { } latents && latents != loaded.Latents)
        {
            loaded.Dispose();
            throw DiffractException.Argument($"--latents {latents} does not fit {settings.Init}, which has {loaded.Latents}; leave --latents out");
        }

        // A start that is asked for begins a new running mean; without one, a threshold that the file brings goes on.
        loaded.Threshold = options.ThresholdFrom is null ? loaded.Threshold : -1;
        return loaded;
    }

    static JsonObject Identity(LooseTrainSettings settings, TrainingConfig config)
    {
        JsonObject identity = config.ToJson();
        identity["activations"] = AtomicFile.Seal(settings.Activations).Xxh128;
        identity["init"] = settings.Init is null ? null : AtomicFile.Seal(settings.Init).Xxh128;
        identity["order"] = settings.Shuffled ? "shuffled" : "stored";
        identity["seed"] = settings.Options.Seed;
        return identity;
    }

    /// <summary>What an earlier, finished call left must not be taken for this one's.</summary>
    static void Discard(string output, string checkpointFolder, bool unfinished)
    {
        File.Delete(Path.Combine(Directory.CreateDirectory(output).FullName, CrosscoderFolder.ModelFile));
        if (!unfinished && Directory.Exists(checkpointFolder))
        {
            Directory.Delete(checkpointFolder, recursive: true);
        }
    }
}
