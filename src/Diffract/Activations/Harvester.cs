using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Llms;
using Diffract.Runs;
using Diffract.Tokens;

namespace Diffract.Activations;

/// <summary>
/// Runs the models over documents and keeps the residual after one block, or after several out of one pass. Documents follow each other in a batch without padding, so there is nothing to gain from sorting them by length, and
/// a row's bits do not depend on its batch. Rounding, moments and the check for NaN run by blocks of columns on all cores. Where memory is short each model goes through a whole shard
/// alone: reading its weights again for every shard costs seconds, a shard of a large model takes minutes.
/// </summary>
sealed class Harvester : IDisposable
{
    const int ColumnBlock = 64;
    readonly IBackend _backend;
    readonly TokenStore _tokens;
    readonly Llm?[] _models;
    readonly string[] _names, _folders;
    readonly int[] _widths;
    readonly LayerPair[] _layers;
    readonly int[][] _blocks;
    readonly bool _together;
    readonly TokenBatch[] _batches;
    readonly Matrix[] _slices;
    readonly Matrix[][] _resid_TD;
    readonly float[] _host;
    readonly int[] _kept;

    /// <param name="backend">Where the models run.</param>
    /// <param name="tokens">What they run on.</param>
    /// <param name="models">Checkpoints.</param>
    /// <param name="layers">0-based blocks, ascending for each model.</param>
    /// <param name="batchTokens">Tokens of a batch, at least those of the longest document.</param>
    /// <param name="together">All models in memory at once, else one at a time, shard by shard.</param>
    public Harvester(IBackend backend, TokenStore tokens, IReadOnlyList<(string Name, string Folder)> models, IReadOnlyList<LayerPair> layers, int batchTokens, bool together)
    {
        (_backend, _tokens, _layers, _together) = (backend, tokens, [.. layers], together);
        BatchTokens = Math.Max(batchTokens, Longest(tokens));
        (_names, _folders) = ([.. models.Select(m => m.Name)], [.. models.Select(m => m.Folder)]);
        _widths = [.. _folders.Select(f => LlmConfig.Load(f).Width)];
        _models = new Llm[models.Count];
        _resid_TD = [.. models.Select(_ => new Matrix[_layers.Length])];
        _batches = [.. models.Select(_ => new TokenBatch(BatchTokens, BatchTokens))];
        _slices = new Matrix[_layers.Length];
        _blocks = [.. models.Select((_, m) => _layers.Select(l => l[m]).ToArray())];
        _kept = new int[BatchTokens];
        _host = new float[BatchTokens * _widths.Max()];
        try
        {
            // A checkpoint that cannot be read is refused before anything is computed.
            for (int m = 0; m < models.Count; m++)
            {
                Model(m);
            }
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    public int BatchTokens { get; }

    /// <summary>Tokens of the longest document, as any model reads it.</summary>
    public static int Longest(TokenStore tokens) => tokens.Documents.Max(d => Math.Max(d.Length, d.BaseLength ?? 0));

    /// <summary>Fills the rows of some documents, end to end; <paramref name="report"/> hears the rows done so far, halves of both models added up.</summary>
    /// <param name="documents">Whole documents, in any choice.</param>
    /// <param name="rows_BE">[rows, E] for each layer.</param>
    /// <param name="moments">Of the rows before rounding, for each layer; null where nobody asks.</param>
    /// <param name="report">Called after each batch.</param>
    /// <param name="stop">Stops between two batches.</param>
    public void Fill(IReadOnlyList<TokenDocument> documents, IReadOnlyList<ShardRows> rows_BE, IReadOnlyList<RunningMoments>? moments, Action<int> report, CancellationToken stop)
    {
        foreach (RunningMoments m in moments ?? [])
        {
            m.Clear();
        }

        int models = _models.Length, rounds = _together ? 1 : models, rows = documents.Sum(d => d.Rows);
        for (int round = 0; round < rounds; round++)
        {
            (int first, int end) = _together ? (0, models) : (round, round + 1);
            int row = 0, kept = 0;
            for (int d = 0; d < documents.Count;)
            {
                stop.ThrowIfCancellationRequested();
                int firstDocument = d;
                d = Gather(documents, firstDocument);
                for (int m = first; m < end; m++)
                {
                    RunModel(m);
                    kept = Find(documents, firstDocument, d, m);
                    for (int l = 0; l < _layers.Length; l++)
                    {
                        Matrix resid_TD = Resid(m, l);
                        _backend.Download(resid_TD, _host.AsSpan(0, resid_TD.Rows * _widths[m]));
                        Keep(rows_BE[l], row, moments?[l], kept, m, bad => NotFinite(bad, documents, firstDocument, m, l));
                    }
                }

                row += kept;
                report((int)(((long)round * rows + row) / rounds));
            }
        }

        foreach (RunningMoments m in moments ?? [])
        {
            m.Advance(rows);
        }
    }

    /// <summary>
    /// Tokens per second of all models over some documents. The beginning of a document reads the weights and compiles the code; then that counts, unless there is time for full batches.
    /// </summary>
    public double Probe(int firstDocument)
    {
        const int Few = 256;
        const double Enough = 1;
        double secondsPerToken = 0;
        for (int m = 0; m < _models.Length; m++)
        {
            ReadOnlySpan<int> ids = _tokens.Ids(_tokens.Documents[firstDocument], m);
            _batches[m].Clear();
            _batches[m].Add(ids[..Math.Min(Few, ids.Length)]);
            RunModel(m);
            double spent = Timed(m);
            if (spent < Enough)
            {
                Gather(_tokens.Documents, firstDocument);
                spent = Timed(m);
            }

            // By token, since models may have had batches of different sizes.
            secondsPerToken += spent / _batches[m].Tokens;
        }

        return 1 / secondsPerToken;
    }

    public void Dispose()
    {
        for (int m = 0; m < _models.Length; m++)
        {
            Drop(m);
        }
    }

    /// <summary>The model, loaded where it is not; alone where there is room for one.</summary>
    Llm Model(int model)
    {
        for (int m = 0; m < _models.Length && !_together; m++)
        {
            if (m != model)
            {
                Drop(m);
            }
        }

        if (_models[model] is { } there)
        {
            return there;
        }

        Llm loaded = Llm.Load(_folders[model], _backend, BatchTokens, headNeeded: false);
        _models[model] = loaded;
        for (int l = 0; l < _layers.Length; l++)
        {
            _resid_TD[model][l] = _backend.Matrix(BatchTokens, _widths[model]);
        }

        return loaded;
    }

    void Drop(int model)
    {
        _models[model]?.Dispose();
        _models[model] = null;
        for (int l = 0; l < _layers.Length; l++)
        {
            _resid_TD[model][l].Buffer?.Dispose();
            _resid_TD[model][l] = default;
        }
    }

    /// <summary>Computes the residuals of the model's batch.</summary>
    void RunModel(int model)
    {
        Llm llm = Model(model);
        for (int l = 0; l < _layers.Length; l++)
        {
            _slices[l] = Resid(model, l);
        }

        llm.RunTo(_batches[model], _blocks[model], _slices);
    }

    /// <summary>The residuals of the model's batch after a layer.</summary>
    Matrix Resid(int model, int layer) => _resid_TD[model][layer].SliceRows(0, _batches[model].Tokens);

    double Timed(int model)
    {
        System.Diagnostics.Stopwatch clock = System.Diagnostics.Stopwatch.StartNew();
        RunModel(model);
        return clock.Elapsed.TotalSeconds;
    }

    /// <summary>Puts documents from <paramref name="first"/> on into the batch, as many as fit; returns the one after.</summary>
    int Gather(IReadOnlyList<TokenDocument> documents, int first)
    {
        Array.ForEach(_batches, b => b.Clear());
        int d = first;
        for (; d < documents.Count && _batches.Index().All(b => b.Item.Fits(documents[d].LengthOf(b.Index))); d++)
        {
            for (int m = 0; m < _batches.Length; m++)
            {
                _batches[m].Add(_tokens.Ids(documents[d], m));
            }
        }

        return d;
    }

    /// <summary>Finds the batch's rows that are stored of one model, in the order of the store; returns how many they are.</summary>
    int Find(IReadOnlyList<TokenDocument> documents, int firstDocument, int end, int model)
    {
        int count = 0;
        for (int d = firstDocument; d < end; d++)
        {
            int start = _batches[model].Spans[d - firstDocument].QueryRow;
            foreach (int position in _tokens.Positions(documents[d], model))
            {
                _kept[count++] = start + position;
            }
        }

        return count;
    }

    /// <summary>Writes the stored rows of one model into its columns of the shard.</summary>
    void Keep(ShardRows rows_BE, int firstRow, RunningMoments? moments, int kept, int model, Func<int, DiffractException> notFinite)
    {
        int width = _widths[model], column = _widths.Take(model).Sum();
        if (rows_BE.Storage == StorageKind.Int8)
        {
            Parallel.For(0, kept, i => rows_BE.Begin(firstRow + i, model, _host.AsSpan(_kept[i] * width, width)));
        }

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

                moments?.Add(values, column + from, firstRow + i + 1);
                rows_BE.Round(firstRow + i, model, column + from, values, moments is null ? [] : moments.Lost.AsSpan(column + from, count));
            }
        });
        if (bad.Any(t => t >= 0))
        {
            throw notFinite(bad.Where(t => t >= 0).Min());
        }
    }

    DiffractException NotFinite(int row, IReadOnlyList<TokenDocument> documents, int firstDocument, int model, int layer)
    {
        int i = 0;
        while (row >= _batches[model].Spans[i].QueryRow + _batches[model].Spans[i].Length)
        {
            i++;
        }

        TokenDocument document = documents[firstDocument + i];
        return new DiffractException(
            $"the {_names[model]} model's activations after block {_layers[layer][model]} are not finite at position {FirstNotFinite(document, model, layer)} of document {document.Number} ({document.Id}); the checkpoint is damaged or overflows: try another layer, or fetch it again");
    }

    // Kernels may multiply a key that is out of sight by 0, and 0 · NaN is NaN: so the rows do not tell where it began, but the shortest beginning of the document that has it does.
    int FirstNotFinite(TokenDocument document, int model, int layer)
    {
        int good = 0, bad = document.LengthOf(model);
        while (bad - good > 1)
        {
            int length = (good + bad) / 2, width = _widths[model];
            TokenBatch batch = _batches[model];
            batch.Clear();
            batch.Add(_tokens.Ids(document, model)[..length]);
            RunModel(model);
            _backend.Download(Resid(model, layer), _host.AsSpan(0, length * width));
            (good, bad) = Array.TrueForAll(_host[..(length * width)], float.IsFinite) ? (length, bad) : (good, length);
        }

        return bad - 1;
    }
}
