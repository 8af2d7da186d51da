using Diffract.Activations;
using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Crosscoders;
using Diffract.Runs;

namespace Diffract.Training;

/// <summary>Trains a crosscoder on a source of batches. The loop is <see cref="SharedPass"/>.</summary>
public sealed class Trainer : IDisposable
{
    readonly TrainingConfig _config;
    readonly Crosscoder _crosscoder;
    readonly IBatchSource _source;
    readonly TrainingStep _step;
    Matrix? _normalised_BE;

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
        _step = new TrainingStep(config, crosscoder, State);
    }

    public TrainingState State { get; }

    /// <summary>All steps are done.</summary>
    public bool Finished => State.Step >= _config.Steps;

    /// <summary>Steps of the whole training.</summary>
    public long Steps => _config.Steps;

    /// <summary>Trains from the current step to the last one; stops between two steps.</summary>
    /// <exception cref="OperationCanceledException">Stopped; a checkpoint was written where <see cref="TrainingOutputs.Checkpoints"/> is given.</exception>
    public void Run(TrainingOutputs outputs, IProgressSink progress, CancellationToken stop = default)
        => SharedPass.Run([new SharedPass.Member(this, _source, outputs)], outputs.What, progress, stop);

    /// <summary>Tokens of a batch.</summary>
    public int BatchSize => _config.Batch;

    /// <summary>A batch of this training, to be filled by its source.</summary>
    public Matrix NewBatch() => _crosscoder.Backend.Matrix(_config.Batch, _crosscoder.E);

    /// <summary>One step on its batch, with what is due after it: a line of the log, a validation, a checkpoint. Nothing of that where outputs is null.</summary>
    public StepRecord Step(Matrix acts_BE, TrainingOutputs? outputs)
    {
        Matrix raw_BE = acts_BE;
        if (_crosscoder.Normalisation is not null)
        {
            // Not in place: other members of a pass read the same batch.
            _normalised_BE ??= NewBatch();
            _crosscoder.Normalise(acts_BE, _normalised_BE.Value);
            acts_BE = _normalised_BE.Value;
        }

        if (State.Step == 0 && _config.Crosscoder.Kind != CrosscoderKind.L1)
        {
            GeometricMedian.Write(acts_BE, _crosscoder.ModelOffsets, _crosscoder.BDec_E);
            _step.Begin(acts_BE);
        }

        StepRecord record;
        try
        {
            record = _step.Run(acts_BE);
        }
        catch (DiffractException e) when (NotFinite.FirstIn(raw_BE) is { } at && _source.RowOf(State.Step, at.Row, raw_BE.Rows) is { } row)
        {
            throw new DiffractException($"{e.Message} (row {row} of the activations, from 0)", inner: e);
        }

        if (outputs is null)
        {
            return record;
        }

        outputs.Log.Write(record);
        if (Due(outputs.ValidateEvery) && outputs.Validation is { } validation)
        {
            outputs.Log.Write(State.Step, validation.Run(_crosscoder, stop: default));
        }

        if (Due(outputs.CheckpointEvery))
        {
            Save(outputs);
        }

        return record;
    }

    /// <summary>A checkpoint of the steps done.</summary>
    public void Save(TrainingOutputs outputs) => outputs.Checkpoints?.Save(State, _crosscoder, outputs.Log);

    public void Dispose()
    {
        _step.Dispose();
        State.Dispose();
        _normalised_BE?.Buffer.Dispose();
    }

    bool Due(long? every) => every is { } n && State.Step % n == 0 && State.Step < _config.Steps;
}
