using System.Diagnostics;
using System.Globalization;
using System.Text.Json.Nodes;
using Diffract.Activations;
using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Crosscoders;
using Diffract.Runs;

namespace Diffract.Training;

/// <summary>One training of the stage, from its last checkpoint to its manifest.</summary>
sealed class TrainWork(
    StageContext context, TrainData.Layer layer, IBatchSource source, TrainingConfig config, CrosscoderInit init, TrainOptions options,
    long validationTokens, string name, string folder, StageManifest plan) : IDisposable
{
    /// <summary>Held-out tokens of the validations on the way; the last one takes the preset's number.</summary>
    const long TokensOnTheWay = 16_384;

    const int ValidationsOnTheWay = 4;

    const int CheckpointsOnTheWay = 10;

    readonly Stopwatch _clock = Stopwatch.StartNew();
    readonly string _checkpointFolder = Path.Combine(folder, Checkpoints.FolderName);
    readonly string _logPath = Path.Combine(folder, TrainingLog.FileName);
    Crosscoder? _crosscoder;
    Trainer? _trainer;
    TrainingLog? _log;
    Checkpoints? _checkpoints;
    SharedPass.Member? _member;
    ActivationShape _shape = new([], []);
    long _first;

    public TrainingConfig Config { get; } = config;

    public TrainOptions Options { get; } = options;

    /// <summary>Where the batches are made on the way; null where they are read.</summary>
    public LiveActivations? Stream { get; init; }

    /// <summary>What progress calls it.</summary>
    public string What => "train " + name;

    /// <summary>Weights, state and log as the last checkpoint left them, or as they begin.</summary>
    public SharedPass.Member Begin()
    {
        _crosscoder = new Crosscoder(Config.Crosscoder, context.Backend, Normalisation());
        init.Apply(_crosscoder);
        _trainer = new Trainer(Config, _crosscoder, source);
        _checkpoints = new Checkpoints(_checkpointFolder, plan.Settings, keepAll: Options.CheckpointEvery is not null) { AllowOtherPath = Options.AllowOtherPath };
        long keep = _checkpoints.Restore(_trainer.State, _crosscoder, _logPath, context.Progress) ?? 0;
        _first = _trainer.State.Step;
        _shape = TrainingPlan.Announce(What, Config, _crosscoder, source, _first, context.Progress);
        _log = new TrainingLog(_logPath, keep, Options.TensorBoard);
        TrainingOutputs outputs = new(_log, What)
        {
            Checkpoints = _checkpoints,
            CheckpointEvery = Options.CheckpointEvery ?? Every(CheckpointsOnTheWay),
            Validation = layer.Validation(TokensOnTheWay, Options.Target),
            ValidateEvery = Every(ValidationsOnTheWay),
        };
        return _member = new SharedPass.Member(_trainer, source, outputs) { Done = Finish };
    }

    public void Dispose()
    {
        _log?.Dispose();
        _trainer?.Dispose();
        _crosscoder?.Dispose();
    }

    void Finish()
    {
        Crosscoder crosscoder = _crosscoder!;
        ValidationResult result = layer.Validation(validationTokens, Options.Target).Run(crosscoder, context.Stop);
        _log!.Write(_trainer!.State.Step, result);
        _log.Flush();
        _log.Dispose();
        Dictionary<string, FileSeal> outputs = CrosscoderFolder.Save(folder, crosscoder, init);
        outputs[OptimizerFile.Name] = OptimizerFile.Save(folder, _trainer.State, crosscoder);
        outputs[TrainingLog.FileName] = AtomicFile.Seal(_logPath);
        if (Stream is { } stream)
        {
            outputs[ConsumedFile.Name] = ConsumedFile.Save(folder, stream, layer.Store.Layer, Config, (int?)plan.Settings["orderSeed"] ?? Options.Seed);
        }

        context.Finish(folder, plan with { Outputs = outputs, Facts = Facts(result), Seconds = _clock.Elapsed.TotalSeconds });
        if (Options.CheckpointEvery is null && Directory.Exists(_checkpointFolder))
        {
            Directory.Delete(_checkpointFolder, recursive: true);
        }

        context.Progress.Done("train", Summary(result));
        if (Stream is { } seen)
        {
            context.Progress.Line($"{What}: {ConsumedFile.Seen(seen.Order, Config)}");
        }

        Dispose();
    }

    /// <summary>Statistics of the first training tokens, where they are asked for: the same for all that share a source.</summary>
    ActivationNorm? Normalisation()
    {
        if (!Options.Normalise)
        {
            return null;
        }

        context.Progress.Line($"{What}: mean and standard deviation of the first {Math.Min(NormEstimate.Tokens, source.DistinctTokens):N0} training tokens, to normalise by");
        Matrix acts_BE = context.Backend.Matrix(Config.Batch, source.ModelOffsets[^1]);
        using IBuffer owner = acts_BE.Buffer;
        return layer.Norm(source, acts_BE, Options.TargetRms ?? 1, context.Stop);
    }

    long Every(int parts) => Math.Max(1, (Config.Steps + parts - 1) / parts);

    JsonObject Facts(ValidationResult result)
    {
        JsonObject facts = result.ToJson();
        facts["threshold"] = Config.Crosscoder.Kind == CrosscoderKind.BatchTopK ? _crosscoder!.Threshold : null;
        if (_crosscoder!.Decoupled)
        {
            facts["thresholds"] = new JsonArray([.. _crosscoder.Thresholds.Select(t => (JsonNode)t)]);
        }

        facts["gamma"] = new JsonArray([.. _shape.Gamma_M.Select(g => (JsonNode)g)]);
        facts["sinkShare"] = new JsonArray([.. _shape.SinkShare_M.Select(s => (JsonNode)s)]);
        facts["trainingTokens"] = source.DistinctTokens;
        facts["presentedTokens"] = Config.Steps * Config.Batch;
        if (Stream is { } stream)
        {
            facts["streamed"] = true;
            facts["distinctTokensSeen"] = Math.Min(Config.Steps * Config.Batch, stream.Order.DistinctTokens);
        }

        facts["kernelPaths"] = new JsonArray([.. _checkpoints!.Paths.Append(context.Backend.KernelPath).Distinct().Select(p => (JsonNode)p)]);
        facts["secondsPerStep"] = Config.Steps > _first ? _member!.Seconds / (Config.Steps - _first) : 0;
        return facts;
    }

    string Summary(ValidationResult result)
    {
        string byModel = string.Join(", ", result.FveByModel.Select(f => f.ToString("F3", CultureInfo.InvariantCulture)));
        string k = Config.Crosscoder.Kind == CrosscoderKind.BatchTopK
            ? $" (k {Config.Crosscoder.K}, threshold {string.Join(" and ", _crosscoder!.Thresholds.Select(t => t.ToString("G4", CultureInfo.InvariantCulture)))})"
            : "";
        string specific = Config.Crosscoder.Models > 1 ? $"; latents almost of one model by norm: {string.Join(", ", result.SpecificLatents)}" : "";
        return string.Create(
            CultureInfo.InvariantCulture,
            $"{name}: on {result.Tokens:N0} held-out tokens variance explained {result.FvePooled:F3} (by model {byModel}), L0 {result.L0:F1}{k}, dead {result.DeadShare:P1}{specific}");
    }
}
