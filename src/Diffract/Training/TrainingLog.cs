using System.Buffers;
using System.Text.Json;
using Diffract.Runs;

namespace Diffract.Training;

/// <summary>
/// <c>log.jsonl</c>: a line a step from step 0, and a line a validation, which has no key "loss". A resumed run cuts it back to its checkpoint.
/// </summary>
public sealed class TrainingLog : IDisposable
{
    public const string FileName = "log.jsonl";

    readonly FileStream _file;
    readonly ArrayBufferWriter<byte> _line = new(1024);
    readonly Utf8JsonWriter _writer;
    readonly TensorBoardEvents? _events;
    bool _failed;

    /// <param name="path">The file; made when it is not there.</param>
    /// <param name="keep">Bytes to keep of what it holds: 0 for a new run.</param>
    /// <param name="tensorBoard">Also write the same numbers for TensorBoard, beside it.</param>
    /// <exception cref="DiffractException">The file is shorter than the checkpoint says.</exception>
    public TrainingLog(string path, long keep, bool tensorBoard = false)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(Path.GetFullPath(path))!);
        _file = new FileStream(path, FileMode.OpenOrCreate, FileAccess.Write, FileShare.Read, 1 << 16);
        if (_file.Length < keep)
        {
            long length = _file.Length;
            _file.Dispose();
            throw new DiffractException($"{path} has {length} bytes, its checkpoint was made at {keep}: truncated; start over with --fresh");
        }

        _file.SetLength(keep);
        _file.Seek(0, SeekOrigin.End);
        _writer = new Utf8JsonWriter(_line);
        string beside = Path.Combine(Path.GetDirectoryName(Path.GetFullPath(path))!, TensorBoardEvents.FileName);
        // One that an earlier call wrote has steps that the log no longer has.
        File.Delete(beside);
        _events = tensorBoard ? new TensorBoardEvents(beside, path) : null;
    }

    /// <summary>Bytes written so far.</summary>
    public long Length => _file.Position;

    public void Write(in StepRecord record)
    {
        Begin(record.Step);
        Number("loss"u8, record.Loss);
        Number("l2"u8, record.L2);
        Number("mse"u8, record.Mse);
        Number("sparsity"u8, record.Sparsity);
        Number("aux"u8, record.Aux);
        if (record.Thresholds is { } thresholds)
        {
            _writer.WriteStartArray("threshold"u8);
            foreach (float threshold in thresholds)
            {
                Value(threshold);
            }

            _writer.WriteEndArray();
        }
        else
        {
            Number("threshold"u8, record.Threshold);
        }

        Number("dead"u8, record.Dead);
        Number("k"u8, record.K);
        Number("grad_norm"u8, record.GradNorm);
        Number("lr"u8, record.LearningRate);
        Number("l0"u8, record.L0);
        End();
    }

    /// <summary>A validation after <paramref name="steps"/> steps.</summary>
    public void Write(long steps, ValidationResult result)
    {
        Begin(steps);
        Number("val_fve_pooled"u8, result.FvePooled);
        Number("val_fve_mean_of_batches"u8, result.FveMeanOfBatches);
        Numbers("val_fve_by_model"u8, result.FveByModel);
        Number("val_l0"u8, result.L0);
        Number("val_dead_share"u8, result.DeadShare);
        Number("val_l2"u8, result.L2);
        Number("val_mse"u8, result.Mse);
        Numbers("val_l2_by_model"u8, result.L2ByModel);
        Numbers("val_mse_by_model"u8, result.MseByModel);
        Number("val_sparsity"u8, result.Sparsity);
        End();
    }

    void Numbers(ReadOnlySpan<byte> key, double[] values)
    {
        _writer.WriteStartArray(key);
        foreach (double value in values)
        {
            Value(value);
        }

        _writer.WriteEndArray();
    }

    /// <summary>Down to the disk.</summary>
    /// <exception cref="DiffractException">The disk is full.</exception>
    public void Flush()
    {
        try
        {
            _file.Flush(flushToDisk: true);
            _events?.Flush();
        }
        catch (IOException e)
        {
            throw NotWritten(e);
        }
    }

    public void Dispose()
    {
        _writer.Dispose();
        try
        {
            _file.Dispose();
            _events?.Dispose();
        }
        catch (IOException) when (_failed)
        {
            // Said already, where the first write failed.
        }
    }

    void Begin(long step)
    {
        _line.ResetWrittenCount();
        _writer.Reset();
        _writer.WriteStartObject();
        _writer.WriteNumber("step"u8, step);
    }

    void Number(ReadOnlySpan<byte> key, double value)
    {
        _writer.WritePropertyName(key);
        Value(value);
    }

    void Value(double value)
    {
        if (double.IsFinite(value))
        {
            _writer.WriteNumberValue(value);
        }
        else
        {
            _writer.WriteNullValue();
        }
    }

    void End()
    {
        _writer.WriteEndObject();
        _writer.Flush();
        try
        {
            _file.Write(_line.WrittenSpan);
            _file.WriteByte((byte)'\n');
            _events?.Write(_line.WrittenSpan);
        }
        catch (IOException e)
        {
            throw NotWritten(e);
        }
    }

    DiffractException NotWritten(IOException e)
    {
        _failed = true;
        return new DiffractException($"cannot write {_file.Name} or what stands beside it: {e.Message}; free some space and call the same command again, it goes on from the last checkpoint", inner: e);
    }
}
