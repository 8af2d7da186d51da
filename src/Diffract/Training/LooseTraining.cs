using System.Globalization;
using System.Text.Json.Nodes;
using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Crosscoders;
using Diffract.Formats;
using Diffract.Runs;

namespace Diffract.Training;

/// <summary>What training on a loose file is asked for.</summary>
/// <param name="Activations">safetensors with <c>x</c> as [steps, B, M, D] or [N, M, D], or <c>x.0</c>, <c>x.1</c> … as [steps, B, D_m] or [N, D_m].</param>
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

    /// <summary>What the training may take.</summary>
    public MemoryBudget Memory { get; init; } = MemoryBudget.Available();
}

/// <summary>Training on loose files: activations and first weights in, published files out.</summary>
public static class LooseTraining
{
    /// <summary>Latents per model width where nothing is said (spec 3.1).</summary>
    const int Expansion = 32;

    /// <summary>Active latents per token where nothing is said (spec 3.1).</summary>
    const int DefaultK = 100;

    public static void Run(LooseTrainSettings settings, IBackend backend, IProgressSink progress, CancellationToken stop)
    {
        TrainOptions options = settings.Options;
        options.Check();
        if (options.Target is not null)
        {
            throw DiffractException.Argument("--target belongs to a run folder; a loose x holds what is trained on");
        }

        if (options.Normalise && settings.Init is not null)
        {
            throw DiffractException.Argument("--normalise does not go with --init: first weights that hold activation_mean and activation_std are trained normalised, others raw; leave one out");
        }

        if (settings.Epochs < 1)
        {
            throw DiffractException.Argument($"--epochs {settings.Epochs} does not fit; wanted at least 1");
        }

        (CrosscoderKind kind, bool sae) = KindOf(settings.Init, options);
        using StoredBatches source = new(settings.Activations, options.Batch, settings.Shuffled ? options.Seed : null, sae);
        using Crosscoder crosscoder = First(settings, kind, source, backend, stop);
        long most = source.BatchesPerPass * settings.Epochs;
        if (options.Steps > most)
        {
            throw DiffractException.Argument(
                $"--steps {options.Steps} needs {(decimal)options.Steps.Value * source.Batch} tokens, {settings.Epochs} pass(es) over {settings.Activations} give {most} steps of {source.Batch}; raise --epochs or lower --steps");
        }

        TrainingConfig config = options.Over(new TrainingConfig { Crosscoder = crosscoder.Config, Steps = most, Batch = source.Batch, Loss = TrainingConfig.DefaultLoss(crosscoder.Config), Clip = TrainingConfig.DefaultClip(kind) });
        config.Check();
        TrainingPlan.WarnUnused(options, kind, progress);
        TrainingPlan.RequireMemory(settings.Memory, config);
        if (config.Warmup >= config.Steps)
        {
            progress.Warn($"the warm-up of {config.Warmup} steps outlasts the {config.Steps} steps of this run, whose learning rate only rises; give --warmup for another");
        }

        if (options.TargetL0 is { } target && kind != CrosscoderKind.BatchTopK)
        {
            MuSearch found = MuSearch.Run(
                "train", config, target, options.SearchSteps ?? MuSearch.DefaultSteps(config.Steps), source, () => First(settings, kind, source, backend, stop), progress, stop);
            config = config with { Mu = found.Mu };
        }

        string checkpointFolder = Path.Combine(settings.Output, Training.Checkpoints.FolderName);
        Checkpoints? checkpoints = options.CheckpointEvery is null ? null : new Checkpoints(checkpointFolder, Identity(settings, config), keepAll: true) { AllowOtherPath = options.AllowOtherPath };
        using Trainer trainer = new(config, crosscoder, source);
        bool unfinished = !settings.Fresh && checkpoints is not null && !File.Exists(Path.Combine(settings.Output, CrosscoderFolder.ModelFile));
        string logPath = Path.Combine(settings.Output, TrainingLog.FileName);
        long keep = unfinished ? checkpoints!.Restore(trainer.State, crosscoder, logPath, progress) ?? 0 : 0;
        Discard(settings.Output, checkpointFolder, unfinished);
        TrainingPlan.Announce("train", config, crosscoder, source, trainer.State.Step, progress);
        using (TrainingLog log = new(logPath, keep, options.TensorBoard))
        {
            trainer.Run(new TrainingOutputs(log) { Checkpoints = checkpoints, CheckpointEvery = options.CheckpointEvery }, progress, stop);
        }

        OptimizerFile.Save(settings.Output, trainer.State, crosscoder);
        CrosscoderFolder.Save(settings.Output, crosscoder, settings.Init is null ? options.Init(Preset.Paper.InitNorm(kind), source.Widths) : null);
        string thresholds = string.Join(" and ", crosscoder.Thresholds.Select(t => t.ToString("G5", CultureInfo.InvariantCulture)));
        string threshold = kind == CrosscoderKind.BatchTopK ? $", threshold {thresholds}" : "";
        progress.Done("train", $"{config.Steps} steps{threshold}, {settings.Output}");
    }

    /// <summary>What is trained: as asked for, else what a file of first weights was made for (b_dec: an SAE; k: BatchTopK; thresholds without k: JumpReLU; else L1), else BatchTopK as in a run folder.</summary>
    static (CrosscoderKind Kind, bool Sae) KindOf(string? init, TrainOptions options)
    {
        if (init is null)
        {
            return (options.ImpliedKind ?? CrosscoderKind.BatchTopK, options.Sae);
        }

        using SafetensorsFile file = SafetensorsFile.Open(init);
        string? prefix = PublishedTensors.FindPrefix(file, "", "init.");
        bool sae = prefix is not null && file.Tensors.ContainsKey(prefix + "b_dec");
        if (options.Sae && !sae)
        {
            throw DiffractException.Argument($"--kind sae does not fit {init}, which has no tensor b_dec; give an SAE's first weights, or leave --kind out");
        }

        if (sae && options.Kind is not null && !options.Sae)
        {
            throw DiffractException.Argument($"--kind does not fit {init}, which is an SAE (tensor b_dec); give --kind sae, or leave it out");
        }

        bool topK = prefix is null || file.Tensors.ContainsKey(prefix + "k");
        CrosscoderKind made = topK ? CrosscoderKind.BatchTopK : file.Tensors.ContainsKey(prefix + "threshold") ? CrosscoderKind.JumpReLU : CrosscoderKind.L1;
        return (sae ? CrosscoderKind.BatchTopK : options.ImpliedKind ?? made, sae);
    }

    static Crosscoder First(LooseTrainSettings settings, CrosscoderKind kind, StoredBatches source, IBackend backend, CancellationToken stop)
    {
        TrainOptions options = settings.Options;
        if (settings.Init is null)
        {
            CrosscoderConfig config = options.Dictionary(kind, Expansion * source.Widths.Max(), source.Widths, DefaultK);
            TrainingPlan.RequireMemory(settings.Memory, new TrainingConfig { Crosscoder = config, Steps = 1, Batch = source.Batch });
            Matrix acts_BE = Matrix.Host(source.Batch, config.E);
            ActivationNorm? norm = options.Normalise ? NormEstimate.Of(source, source.DistinctTokens, acts_BE, options.TargetRms ?? 1, stop) : null;
            acts_BE.Buffer.Dispose();
            Crosscoder drawn = new(config, backend, norm);
            options.Init(Preset.Paper.InitNorm(kind), source.Widths).Apply(drawn);
            return drawn;
        }

        InitChoices choices = new()
        {
            Kind = kind,
            CodeNorm = options.CodeNorm,
            AlphaSae = options.MixedAlphaSae ?? 1.0,
            AlphaCc = options.MixedAlphaCc ?? 0.1,
            K = options.K,
            EncoderModels = options.EncoderModels,
            Partition = options.Partition,
        };
        Crosscoder loaded = CrosscoderFolder.LoadInit(settings.Init, choices, backend);
        if (options.Latents is { } latents && latents != loaded.Latents)
        {
            loaded.Dispose();
            throw DiffractException.Argument($"--latents {latents} does not fit {settings.Init}, which has {loaded.Latents}; leave --latents out");
        }

        // A threshold that the file brings goes on as the running mean that it is (spec 3.5: only an unset one takes a batch's smallest).
        return loaded;
    }

    static JsonObject Identity(LooseTrainSettings settings, TrainingConfig config)
    {
        JsonObject identity = config.ToJson();
        identity["activations"] = AtomicFile.Seal(settings.Activations).Xxh128;
        identity["init"] = settings.Init is null ? null : AtomicFile.Seal(settings.Init).Xxh128;
        if (settings.Options.Normalise)
        {
            identity["targetRms"] = settings.Options.TargetRms ?? 1;
        }

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
