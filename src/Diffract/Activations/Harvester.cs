using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Llms;
using Diffract.Runs;
using Diffract.Tokens;

namespace Diffract.Activations;

/// <summary>
/// Runs the models over documents and keeps the residual after one block. Documents follow each other in a batch without padding, so there is nothing to gain from sorting them by length, and
/// a row's bits do not depend on its batch. Rounding, moments and the check for NaN run by blocks of columns on all cores.
/// </summary>
sealed class Harvester : IDisposable
{
    const int ColumnBlock = 64;
    readonly IBackend _backend;
    readonly TokenStore _tokens;
    readonly Llm[] _models;
    readonly string[] _names;
    readonly int _layer;
    readonly TokenBatch[] _batches;
    readonly Matrix[] _resid_TD;
    readonly float[] _host;
    readonly int[] _kept;

    public Harvester(IBackend backend, TokenStore tokens, IReadOnlyList<(string Name, string Folder)> models, int layer, int batchTokens)
    {
        (_backend, _tokens, _layer) = (backend, tokens, layer);
        BatchTokens = Math.Max(batchTokens, tokens.Documents.Max(d => Math.Max(d.Length, d.BaseLength ?? 0)));
        _names = [.. models.Select(m => m.Name)];
        _models = new Llm[models.Count];
        _resid_TD = new Matrix[models.Count];
        _batches = [.. models.Select(_ => new TokenBatch(BatchTokens, BatchTokens))];
        _kept = new int[BatchTokens];
        try
        {
            for (int m = 0; m < models.Count; m++)
            {
                _models[m] = Llm.Load(models[m].Folder, backend, BatchTokens, headNeeded: false);
                _resid_TD[m] = backend.Matrix(BatchTokens, _models[m].Config.Width);
            }
        }
        catch
        {
            Dispose();
            throw;
        }

        _host = new float[BatchTokens * _models.Max(m => m.Config.Width)];
    }

    public int BatchTokens { get; }

    public int E => _models.Sum(m => m.Config.Width);

    /// <summary>Fills a shard's rows and moments; <paramref name="report"/> hears the tokens done so far.</summary>
    public void Fill(ShardPlan shard, HostBuffer rows_BE, RunningMoments moments, Action<int> report, CancellationToken stop)
    {
        moments.Clear();
        int row = 0, kept = 0;
        for (int d = shard.FirstDocument, end = shard.FirstDocument + shard.Documents; d < end;)
        {
            stop.ThrowIfCancellationRequested();
            int first = d;
            d = Gather(first, end);
            int column = 0;
            for (int m = 0; m < _models.Length; m++)
            {
                int width = _models[m].Config.Width;
                TokenBatch batch = _batches[m];
                Matrix resid_TD = _resid_TD[m].SliceRows(0, batch.Tokens);
                _models[m].RunTo(batch, _layer, resid_TD);
                _backend.Download(resid_TD, _host.AsSpan(0, batch.Tokens * width));
                kept = Find(first, d, m);
                Keep(rows_BE, row, column, width, moments, kept, first, m);
                column += width;
            }

            row += kept;
            moments.Advance(kept);
            report(row);
        }
    }

    /// <summary>Tokens per second of both models over some documents: one document, then full batches unless that takes long; the last counts, since the first also compiles the code.</summary>
    public double Probe(int firstDocument)
    {
        int end = firstDocument + 1;
        double seconds = 0;
        for (int round = 0; round < 3 && seconds < 2; round++)
        {
            Gather(firstDocument, end);
            System.Diagnostics.Stopwatch clock = System.Diagnostics.Stopwatch.StartNew();
            for (int m = 0; m < _models.Length; m++)
            {
                _models[m].RunTo(_batches[m], _layer, _resid_TD[m].SliceRows(0, _batches[m].Tokens));
            }

            seconds = clock.Elapsed.TotalSeconds;
            end = _tokens.Documents.Count;
        }

        return _batches[^1].Tokens / seconds;
    }

    public void Dispose()
    {
        for (int m = 0; m < _models.Length; m++)
        {
            _models[m]?.Dispose();
            _resid_TD[m].Buffer?.Dispose();
        }
    }

    /// <summary>Puts documents first .. into the batch, as many as fit; returns the one after.</summary>
    int Gather(int first, int end)
    {
        Array.ForEach(_batches, b => b.Clear());
        int d = first;
        for (; d < end && _batches.Index().All(b => b.Item.Fits(_tokens.Documents[d].LengthOf(b.Index))); d++)
        {
            for (int m = 0; m < _batches.Length; m++)
            {
                _batches[m].Add(_tokens.Ids(_tokens.Documents[d], m));
            }
        }

        return d;
    }

    /// <summary>Finds the batch's rows that are stored of one model, in the order of the store; returns how many they are.</summary>
    int Find(int firstDocument, int end, int model)
    {
        int count = 0;
        for (int d = firstDocument; d < end; d++)
        {
            int start = _batches[model].Spans[d - firstDocument].QueryRow;
            foreach (int position in _tokens.Positions(_tokens.Documents[d], model))
            {
                _kept[count++] = start + position;
            }
        }

        return count;
    }

    /// <summary>Writes the stored rows of one model into columns column .. of the shard.</summary>
    unsafe void Keep(HostBuffer rows_BE, int firstRow, int column, int width, RunningMoments moments, int kept, int firstDocument, int model)
    {
        int e = E;
        long before = moments.Count;
        int[] bad = new int[(width + ColumnBlock - 1) / ColumnBlock];
        Parallel.For(0, bad.Length, block =>
        {
            int from = block * ColumnBlock, count = Math.Min(ColumnBlock, width - from);
            bad[block] = -1;
            for (int i = 0; i < kept; i++)
            {
                ReadOnlySpan<float> values = _host.AsSpan((_kept[i] * width) + from, count);
                float sum = 0;
                foreach (float v in values)
                {
                    sum += v - v;
                }

                // 0 where all are finite, else NaN.
                if (sum != 0)
                {
                    bad[block] = _kept[i];
                    return;
                }

                moments.Add(values, column + from, before + i + 1);
                long at = ((long)(firstRow + i) * e) + column + from;
                if (rows_BE.Type == ElementType.BFloat16)
                {
                    BFloat16.Round(values, new Span<ushort>((ushort*)rows_BE.Pointer + at, count));
                }
                else
                {
                    values.CopyTo(new Span<float>(rows_BE.Floats + at, count));
                }
            }
        });
        if (bad.Any(t => t >= 0))
        {
            throw NotFinite(bad.Where(t => t >= 0).Min(), firstDocument, model);
        }
    }

    DiffractException NotFinite(int row, int firstDocument, int model)
    {
        int i = 0;
        while (row >= _batches[model].Spans[i].QueryRow + _batches[model].Spans[i].Length)
        {
            i++;
        }

        TokenDocument document = _tokens.Documents[firstDocument + i];
        return new DiffractException(
            $"the {_names[model]} model's activations after block {_layer} are not finite at position {FirstNotFinite(document, model)} of document {document.Number} ({document.Id}); the checkpoint is damaged or overflows: try another layer, or fetch it again");
    }

    // Kernels may multiply a key that is out of sight by 0, and 0 · NaN is NaN: so the rows do not tell where it began, but the shortest beginning of the document that has it does.
    int FirstNotFinite(TokenDocument document, int model)
    {
        int good = 0, bad = document.LengthOf(model);
        while (bad - good > 1)
        {
            int length = (good + bad) / 2, width = _models[model].Config.Width;
            TokenBatch batch = _batches[model];
            batch.Clear();
            batch.Add(_tokens.Ids(document, model)[..length]);
            Matrix resid_TD = _resid_TD[model].SliceRows(0, length);
            _models[model].RunTo(batch, _layer, resid_TD);
            _backend.Download(resid_TD, _host.AsSpan(0, length * width));
            (good, bad) = Array.TrueForAll(_host[..(length * width)], float.IsFinite) ? (length, bad) : (good, length);
        }

        return bad - 1;
    }
}
