using Diffract.Activations;
using Diffract.Compute.Buffers;
using Diffract.Crosscoders;
using Diffract.Formats;
using Diffract.Runs;

namespace Diffract.Training;

/// <summary>
/// Batches from a loose file: tensor <c>x</c> as [steps, B, M, D], each entry a batch, or as [N, M, D], B rows after the other; for an SAE [steps, B, D] or [N, D]. Models of different widths
/// have a tensor each: <c>x.0</c> [steps, B, D0] or [N, D0], <c>x.1</c> ….
/// Rows come as stored, or permuted anew for each pass by a seed.
/// </summary>
public sealed class StoredBatches : IBatchSource, IDisposable
{
    readonly SafetensorsFile _file;
    readonly Part[] _parts = [];
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
            bool byModel = !single && !_file.Tensors.ContainsKey("x") && _file.Tensors.ContainsKey("x.0");
            string[] names = byModel ? [.. Enumerable.Range(0, _file.Tensors.Count).Select(m => $"x.{m}").TakeWhile(_file.Tensors.ContainsKey)] : ["x"];
            long[] shape = Shape(names, byModel, single);
            if (shape.Length == 4 && batch is { } given && given != shape[1])
            {
                throw DiffractException.Argument($"--batch {given} does not fit {path}, whose x holds batches of {shape[1]} tokens; leave --batch out");
            }

            _batch = shape.Length == 4 ? (int)shape[1] : batch ?? 2048;
            Rows = shape.Length == 4 ? shape[0] * shape[1] : shape[0];
            Widths = byModel ? [.. names.Select(n => (int)_file[n].Shape[^1])] : [.. Enumerable.Repeat((int)shape[^1], (int)shape[^2])];
            ModelOffsets = [0, .. Widths.Select((_, m) => Widths.Take(m + 1).Sum())];
            _perPass = Rows / _batch;
            _seed = seed;
            if (_perPass < 1)
            {
                throw new DiffractException($"{path} holds {Rows} tokens, fewer than one batch of {_batch}; give more, or a smaller --batch");
            }

            _parts = [.. names.Select((n, i) => new Part(_file, n, byModel ? ModelOffsets[i] : 0, byModel ? Widths[i] : ModelOffsets[^1]))];
        }
        catch
        {
            Array.ForEach(_parts, p => p.Dispose());
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

    public void Fill(long index, Matrix acts_BE)
    {
        long first = index % _perPass * acts_BE.Rows;
        long[]? order = _seed is null ? null : Order(index / _perPass);
        for (int b = 0; b < acts_BE.Rows; b++)
        {
            long row = order is null ? first + b : order[first + b];
            foreach (Part part in _parts)
            {
                part.Copy(row, acts_BE.Row(b));
            }
        }
    }

    public long? RowOf(long index, int row, int batch)
    {
        long at = index % _perPass * batch + row;
        return _seed is null ? at : Order(index / _perPass)[at];
    }

    public void Dispose()
    {
        Array.ForEach(_parts, p => p.Dispose());
        _file.Dispose();
    }

    /// <summary>[steps, B, M, D] or [N, M, D], as it would be with one tensor for all models; the width of the first where each has its own.</summary>
    long[] Shape(string[] names, bool byModel, bool single)
    {
        long[] shape = _file[names[0]].Shape;
        int axes = shape.Length + (single || byModel ? 1 : 0);
        if (axes is not (3 or 4) || shape.Any(n => n is < 1 or > int.MaxValue))
        {
            string wanted = single ? "[steps, batch, width] or [tokens, width] for an SAE" : byModel ? "[steps, batch, width] or [tokens, width] for each model" : "[steps, batch, models, width] or [tokens, models, width]";
            throw new DiffractException($"{_file.FilePath}: tensor {names[0]} has the shape [{string.Join(", ", shape)}], wanted {wanted}");
        }

        if (names.FirstOrDefault(n => !_file[n].Shape.AsSpan(..^1).SequenceEqual(shape.AsSpan(..^1)) || _file[n].Shape[^1] is < 1 or > int.MaxValue) is { } other)
        {
            throw new DiffractException($"{_file.FilePath}: tensor {other} has the shape [{string.Join(", ", _file[other].Shape)}], wanted [{string.Join(", ", shape[..^1])}, width] as {names[0]} has");
        }

        return single || byModel ? [.. shape[..^1], 1, shape[^1]] : shape;
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

    /// <summary>One tensor: its rows go into the columns from <paramref name="column"/> on.</summary>
    sealed class Part(SafetensorsFile file, string name, int column, int width) : IDisposable
    {
        readonly HostBuffer _view = file.View(name);
        readonly float[]? _widened = file[name].Type == "F32" ? null : file.Floats(name);

        public unsafe void Copy(long row, Span<float> acts_E)
        {
            ReadOnlySpan<float> source = _widened is null ? new ReadOnlySpan<float>(_view.Floats + row * width, width) : _widened.AsSpan(checked((int)(row * width)), width);
            source.CopyTo(acts_E[column..]);
        }

        public void Dispose() => _view.Dispose();
    }
}
