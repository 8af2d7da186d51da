using Diffract.Activations;
using Diffract.Compute.Buffers;
using Diffract.Crosscoders;
using Diffract.Formats;
using Diffract.Runs;

namespace Diffract.Training;

/// <summary>
/// Batches from a loose file: tensor <c>x</c> as [steps, B, M, D], each entry a batch, or as [N, M, D], B rows after the other; for an SAE [steps, B, D] or [N, D].
/// Rows come as stored, or permuted anew for each pass by a seed.
/// </summary>
public sealed class StoredBatches : IBatchSource, IDisposable
{
    readonly SafetensorsFile _file;
    readonly HostBuffer _view;
    readonly float[]? _widened;
    readonly int _batch;
    readonly long _perPass;
    readonly long? _seed;
    long[] _order = [];
    long _orderOf = -1;

    /// <param name="path">The safetensors file.</param>
    /// <param name="batch">Rows of a batch; null takes the file's own, or 2048 where it has none.</param>
    /// <param name="seed">Null for the stored order.</param>
    /// <param name="single">For an SAE: x has no axis of models.</param>
    /// <exception cref="DiffractException">No tensor x, another shape, or fewer rows than one batch.</exception>
    public StoredBatches(string path, int? batch, long? seed, bool single = false)
    {
        _file = SafetensorsFile.Open(path);
        try
        {
            long[] shape = _file["x"].Shape;
            int axes = shape.Length + (single ? 1 : 0);
            if (axes is not (3 or 4) || shape.Any(n => n is < 1 or > int.MaxValue))
            {
                string wanted = single ? "[steps, batch, width] or [tokens, width] for an SAE" : "[steps, batch, models, width] or [tokens, models, width]";
                throw new DiffractException($"{path}: tensor x has the shape [{string.Join(", ", shape)}], wanted {wanted}");
            }

            shape = single ? [.. shape[..^1], 1, shape[^1]] : shape;
            if (shape.Length == 4 && batch is { } given && given != shape[1])
            {
                throw DiffractException.Argument($"--batch {given} does not fit {path}, whose x holds batches of {shape[1]} tokens; leave --batch out");
            }

            _batch = shape.Length == 4 ? (int)shape[1] : batch ?? 2048;
            Rows = shape.Length == 4 ? shape[0] * shape[1] : shape[0];
            (int models, int width) = ((int)shape[^2], (int)shape[^1]);
            Widths = [.. Enumerable.Repeat(width, models)];
            ModelOffsets = [.. Enumerable.Range(0, models + 1).Select(m => m * width)];
            _perPass = Rows / _batch;
            _seed = seed;
            if (_perPass < 1)
            {
                throw new DiffractException($"{path} holds {Rows} tokens, fewer than one batch of {_batch}; give more, or a smaller --batch");
            }

            _view = _file.View("x");
            _widened = _view.Type == ElementType.Float32 ? null : _file.Floats("x");
        }
        catch
        {
            _file.Dispose();
            throw;
        }
    }

    public int[] ModelOffsets { get; }

    public int[] Widths { get; }

    /// <summary>Tokens in the file.</summary>
    public long Rows { get; }

    /// <summary>Rows of a batch.</summary>
    public int Batch => _batch;

    /// <summary>Whole batches in one pass over the file.</summary>
    public long BatchesPerPass => _perPass;

    public long DistinctTokens => _perPass * _batch;

    public unsafe void Fill(long index, Matrix acts_BE)
    {
        int width = ModelOffsets[^1];
        long first = index % _perPass * acts_BE.Rows;
        long[]? order = _seed is null ? null : Order(index / _perPass);
        for (int b = 0; b < acts_BE.Rows; b++)
        {
            long row = order is null ? first + b : order[first + b];
            ReadOnlySpan<float> source = _widened is null ? new ReadOnlySpan<float>(_view.Floats + row * width, width) : _widened.AsSpan(checked((int)(row * width)), width);
            source.CopyTo(acts_BE.Row(b));
        }
    }

    public long? RowOf(long index, int row, int batch)
    {
        long at = index % _perPass * batch + row;
        return _seed is null ? at : Order(index / _perPass)[at];
    }

    public void Dispose()
    {
        _view.Dispose();
        _file.Dispose();
    }

    /// <summary>The permutation of one pass: rows sorted by a hash of seed, pass and row.</summary>
    long[] Order(long pass)
    {
        if (_orderOf != pass)
        {
            ulong[] keys = new ulong[Rows];
            _order = new long[Rows];
            for (long r = 0; r < Rows; r++)
            {
                _order[r] = r;
                keys[r] = Draws.Word((ulong)_seed!.Value, (ulong)pass, (ulong)r);
            }

            Array.Sort(keys, _order);
            _orderOf = pass;
        }

        return _order;
    }
}
