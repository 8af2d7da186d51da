using System.Globalization;
using System.Runtime.InteropServices;
using Diffract.Compute.Buffers;
using Diffract.Formats;
using Diffract.Runs;
using Diffract.Tokens;

namespace Diffract.Activations.Caches;

/// <summary>
/// Writes a run's activations as the caches that the reference implementation's tools read (spec 1.7), one for each model: shards of whole documents that end when they exceed a million rows, as its collector's
/// do, or where those of the cache ended that the run began from; ids and document starts beside the layer's folder. <c>config.json</c> comes last.
/// </summary>
public static class CacheWriter
{
    const int ShardRows = 1_000_000;
    const int StepRows = 1024;

    /// <param name="run">The run.</param>
    /// <param name="layer">Its layer; null: the only one.</param>
    /// <param name="baseCache">A folder layer_n_out for the base model, empty or not there.</param>
    /// <param name="chatCache">The same for the chat model.</param>
    /// <param name="progress">Who listens.</param>
    /// <param name="stop">Stops between rows.</param>
    /// <returns>The layer and the rows written.</returns>
    /// <exception cref="DiffractException">A folder is not called as the layer is, or holds a cache already.</exception>
    public static (LayerPair Layer, long Rows) Write(RunFolder run, LayerPair? layer, string baseCache, string chatCache, IProgressSink progress, CancellationToken stop)
    {
        LayerPair at = layer ?? OnlyLayer(run);
        string[] folders = [Path.GetFullPath(baseCache), Path.GetFullPath(chatCache)];
        using TokenStore tokens = TokenStore.Open(run);
        using ActivationStore store = ActivationStore.Open(run, at);
        store.Require(tokens, tokens.Documents);
        if (folders[0] == folders[1])
        {
            throw DiffractException.Argument($"--to-cache is given {baseCache} twice; wanted a folder for the base model and one for the chat model");
        }

        for (int m = 0; m < folders.Length; m++)
        {
            RequireEmpty(folders[m], at[m]);
        }

        if (tokens.OwnTokens)
        {
            progress.Warn("each model reads its own tokens, so the two tokens.pt differ: tools that take both caches together ask for equal ones");
        }

        (double[] mean_E, double[] variance_E) = store.Statistics();
        for (int m = 0; m < folders.Length; m++)
        {
            WriteBeside(folders[m], tokens, m);
            WriteModel(folders[m], store, tokens, m, mean_E, variance_E, progress, stop);
        }

        return (at, store.Rows);
    }

    static LayerPair OnlyLayer(RunFolder run)
    {
        IReadOnlyList<string> layers = run.Names("activations");
        return layers.Count == 1 && LayerPair.TryParse(layers[0], out LayerPair only)
            ? only
            : throw DiffractException.Argument(layers.Count == 0 ? $"{run.Root} has no activations; run `diffract harvest {run.Root}` first" : $"{run.Root} has the layers {string.Join(", ", layers)}; choose one with --layer");
    }

    static void RequireEmpty(string folder, int layer)
    {
        string name = CacheFolder.LayerFolder(layer);
        if (Path.GetFileName(folder) != name)
        {
            throw DiffractException.Argument($"--to-cache {folder} is not called {name}, which is how the reference implementation's tools find layer {layer}; wanted {Path.Combine(folder, name)}");
        }

        if (Directory.Exists(folder) && Directory.EnumerateFileSystemEntries(folder).FirstOrDefault(f => !f.EndsWith(".part", StringComparison.Ordinal)) is { } there)
        {
            throw DiffractException.Argument($"--to-cache {folder} holds {Path.GetFileName(there)} already; choose an empty folder, or remove it");
        }
    }

    /// <summary>Ids and document starts, which all layers of a model share.</summary>
    static void WriteBeside(string folder, TokenStore tokens, int model)
    {
        string parent = Path.GetDirectoryName(folder)!;
        TorchWriter ids = new();
        ids.AddBytes("tokens", "I64", [tokens.Rows], tokens.Rows * sizeof(long), stream => WriteIds(tokens, model, stream));
        long[] starts = [.. tokens.Documents.Select(d => d.FirstRow), tokens.Rows];
        TorchWriter ranges = new();
        ranges.Add("sequence_ranges", starts, starts.Length);
        foreach ((string name, TorchWriter writer) in new[] { (CacheFolder.TokensFile, ids), (CacheFolder.RangesFile, ranges) })
        {
            string path = Path.Combine(parent, name);
            if (!File.Exists(path))
            {
                writer.SaveTensor(path);
            }
            else if (!Holds(path, writer))
            {
                throw DiffractException.Argument($"{path} is there and holds another run's; choose another folder for {Path.GetFileName(folder)}");
            }
        }
    }

    static bool Holds(string path, TorchWriter writer)
    {
        using TorchVector there = TorchVector.Open(path);
        using MemoryStream wanted = new();
        if (there.Length != writer.Tensors[0].Shape[0] || !there.IsInteger)
        {
            return false;
        }

        writer.Tensors[0].Write(wanted);
        long[] values = new long[there.Length];
        there.Read(0, values);
        return MemoryMarshal.AsBytes(values.AsSpan()).SequenceEqual(wanted.GetBuffer().AsSpan(0, (int)wanted.Length));
    }

    // Ids as they were before some were replaced for the base model: tools that take both caches ask for equal ones.
    static void WriteIds(TokenStore tokens, int model, Stream stream)
    {
        foreach (TokenDocument d in tokens.Documents)
        {
            ReadOnlySpan<int> ids = tokens.OwnTokens ? tokens.Ids(d, model) : tokens.Ids(d), positions = tokens.OwnTokens ? tokens.Positions(d, model) : tokens.Positions(d);
            long[] kept = new long[positions.Length];
            for (int i = 0; i < kept.Length; i++)
            {
                kept[i] = ids[positions[i]];
            }

            stream.Write(MemoryMarshal.AsBytes(kept.AsSpan()));
        }
    }

    static void WriteModel(string folder, ActivationStore store, TokenStore tokens, int model, double[] mean_E, double[] variance_E, IProgressSink progress, CancellationToken stop)
    {
        int width = store.Widths[model], offset = store.ModelOffsets[model];
        (long First, int Rows, CacheType Type)[] shards = [.. Shards(store, tokens, model)];
        Matrix acts_BE = Matrix.Host(StepRows, store.E);
        using IBuffer owner = acts_BE.Buffer;
        byte[] row = new byte[width * sizeof(float)];
        for (int i = 0; i < shards.Length; i++)
        {
            (long first, int rows, CacheType type) = shards[i];
            AtomicFile.Write(Path.Combine(folder, CacheFolder.ShardName(i)), stream =>
            {
                for (int done = 0; done < rows; done += StepRows)
                {
                    stop.ThrowIfCancellationRequested();
                    int count = Math.Min(StepRows, rows - done);
                    store.Read(first + done, count, acts_BE);
                    for (int r = 0; r < count; r++)
                    {
                        Span<byte> bytes = row.AsSpan(0, width * type.Size());
                        type.Narrow(acts_BE.Row(r).Slice(offset, width), bytes);
                        stream.Write(bytes);
                    }

                    progress.Report($"activations: {(model == 0 ? "base" : "chat")} model", first + done + count, store.Rows, "rows");
                }
            });
            Text(folder, CacheFolder.MetaName(i), string.Create(CultureInfo.InvariantCulture, $"{{\"shape\": [{rows}, {width}], \"dtype\": \"{type.TorchName()}\"}}"));
        }

        Numbers(folder, CacheFolder.MeanFile, mean_E[offset..(offset + width)]);
        Numbers(folder, CacheFolder.DeviationFile, Array.ConvertAll(variance_E[offset..(offset + width)], Math.Sqrt));
        Text(folder, CacheFolder.ConfigFile, string.Create(
            CultureInfo.InvariantCulture,
            $"{{\"batch_size\": 1, \"context_len\": {tokens.Context}, \"shard_size\": {ShardRows}, \"d_model\": {width}, \"shuffle_shards\": false, \"io\": \"out\", \"total_size\": {store.Rows}, \"shard_count\": {shards.Length}, \"store_tokens\": true, \"store_sequence_ranges\": true}}"));
    }

    static IEnumerable<(long First, int Rows, CacheType Type)> Shards(ActivationStore store, TokenStore tokens, int model)
    {
        if (store.Cache is { } cache)
        {
            foreach (CacheShard shard in cache.Models[model].Shards)
            {
                yield return (shard.FirstRow, shard.Rows, shard.Type);
            }

            yield break;
        }

        CacheType type = (string?)store.Manifest.Settings["storage"] == StorageKind.BFloat16.Name() ? CacheType.BFloat16 : CacheType.Float32;
        long first = 0;
        int rows = 0;
        foreach (TokenDocument d in tokens.Documents)
        {
            rows += d.Rows;
            if (rows > ShardRows)
            {
                yield return (first, rows, type);
                (first, rows) = (first + rows, 0);
            }
        }

        if (rows > 0)
        {
            yield return (first, rows, type);
        }
    }

    static void Numbers(string folder, string name, double[] values)
    {
        TorchWriter writer = new();
        writer.Add(Path.GetFileNameWithoutExtension(name), values, values.Length);
        writer.SaveTensor(Path.Combine(folder, name));
    }

    static void Text(string folder, string name, string text) => AtomicFile.WriteText(Path.Combine(folder, name), text);
}
