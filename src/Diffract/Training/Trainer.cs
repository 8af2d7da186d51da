using Diffract.Activations;
using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Crosscoders;
using Diffract.Runs;

namespace Diffract.Training;

/// <summary>Trains a crosscoder on a source of batches. The loop is <see cref="Run"/>.</summary>
public sealed class Trainer : IDisposable
{
    const int ReportEvery = 10;

    readonly TrainingConfig _config;
    readonly Crosscoder _crosscoder;
    readonly IBatchSource _source;
    readonly Matrix _acts_BE;
    readonly TrainingStep _step;

    /// <exception cref="DiffractException">Settings that do not fit, or a source of other models than the crosscoder's.</exception>
    public Trainer(TrainingConfig config, Crosscoder crosscoder, IBatchSource source)
    {
        config.Check();
        if (!source.ModelOffsets.AsSpan().SequenceEqual(crosscoder.ModelOffsets))
        {
            throw DiffractException.Argument(
                $"the activations end at columns [{string.Join(", ", source.ModelOffsets.Skip(1))}] by model, the crosscoder at [{string.Join(", ", crosscoder.ModelOffsets.Skip(1))}]; wanted the same models and widths");
        }

        (_config, _crosscoder, _source) = (config, crosscoder, source);
        State = new TrainingState(config, crosscoder);
        _acts_BE = crosscoder.Backend.Matrix(config.Batch, crosscoder.E);
        _step = new TrainingStep(config, crosscoder, State);
    }

    public TrainingState State { get; }

    /// <summary>Trains from the current step to the last one; stops between two steps.</summary>
    /// <exception cref="OperationCanceledException">Stopped; a checkpoint was written where <see cref="TrainingOutputs.Checkpoints"/> is given.</exception>
    public void Run(TrainingOutputs outputs, IProgressSink progress, CancellationToken stop = default)
    {
        while (State.Step < _config.Steps)
        {
            if (stop.IsCancellationRequested)
            {
                outputs.Checkpoints?.Save(State, _crosscoder, outputs.Log);
                throw new OperationCanceledException(stop);
            }

            _source.Fill(State.Step, _acts_BE);
            if (_crosscoder.Normalisation is not null)
            {
                _crosscoder.Normalise(_acts_BE, _acts_BE);
            }

            if (State.Step == 0 && _config.Crosscoder.Kind == CrosscoderKind.BatchTopK)
            {
                GeometricMedian.Write(_acts_BE, _crosscoder.ModelOffsets, _crosscoder.BDec_E);
            }

            StepRecord record = _step.Run(_acts_BE);
            outputs.Log.Write(record);
            if (State.Step % ReportEvery == 0 || State.Step == _config.Steps)
            {
                progress.Report(outputs.What, State.Step, _config.Steps, "steps", Note(record));
            }

            if (Due(outputs.ValidateEvery) && outputs.Validation is { } validation)
            {
                outputs.Log.Write(State.Step, validation.Run(_crosscoder, stop: default));
            }

            if (Due(outputs.CheckpointEvery))
            {
                outputs.Checkpoints?.Save(State, _crosscoder, outputs.Log);
            }
        }
    }

    public void Dispose()
    {
        _step.Dispose();
        State.Dispose();
        _acts_BE.Buffer.Dispose();
    }

    bool Due(long? every) => every is { } n && State.Step % n == 0 && State.Step < _config.Steps;

    static string Note(in StepRecord record) => FormattableString.Invariant($"loss {record.Loss:G4}, L0 {record.L0:F1}, dead {record.Dead}");
}
