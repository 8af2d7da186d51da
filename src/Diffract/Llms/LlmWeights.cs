using System.Globalization;
using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Formats;
using Diffract.Runs;

namespace Diffract.Llms;

/// <summary>
/// The tensors of a checkpoint, checked for type and shape. float32 and bfloat16 matrices stay in the memory-mapped files; float16 is widened at load (exactly), norms too.
/// </summary>
sealed class LlmWeights : IDisposable
{
    readonly Dictionary<string, SafetensorsFile> _where = new(StringComparer.Ordinal);
    readonly List<SafetensorsFile> _files = [];
    readonly List<IBuffer> _copies = [];
    readonly IBackend _backend;
    readonly string _folder;

    LlmWeights(string folder, LlmConfig config, IBackend backend, bool headNeeded)
    {
        (_backend, _folder) = (backend, folder);
        try
        {
            foreach (string path in CheckpointFiles.Weights(folder))
            {
                SafetensorsFile file = SafetensorsFile.Open(path);
                _files.Add(file);
                foreach (string name in file.Tensors.Keys)
                {
                    _where[name] = file;
                }
            }

            LlmTensorNames names = config.Traits.Tensors;
            Embedding = Weight(names.Embedding, config.Vocabulary, config.Width);
            Blocks = [.. Enumerable.Range(0, config.Layers).Select(i => Block(names, i, config))];
            if (headNeeded)
            {
                FinalNorm = Norm(names.FinalNorm, config.Width);
                Head = config.TiesEmbeddings ? Embedding : Weight(names.Head, config.Vocabulary, config.Width);
            }
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>[V, D].</summary>
    public Matrix Embedding { get; }

    public IReadOnlyList<BlockWeights> Blocks { get; } = [];

    /// <summary>[1, D]; null when no head was asked for.</summary>
    public Matrix? FinalNorm { get; }

    /// <summary>[V, D]; null when no head was asked for.</summary>
    public Matrix? Head { get; }

    public static LlmWeights Load(string folder, LlmConfig config, IBackend backend, bool headNeeded) => new(folder, config, backend, headNeeded);

    /// <summary>Gives what was read of the mapped files back to the system; copies stay.</summary>
    public void Release() => _files.ForEach(f => f.Release());

    public void Dispose()
    {
        foreach (IBuffer copy in _copies)
        {
            copy.Dispose();
        }

        foreach (SafetensorsFile file in _files)
        {
            file.Dispose();
        }
    }

    BlockWeights Block(LlmTensorNames names, int layer, LlmConfig config)
    {
        int width = config.Width, inner = config.MlpWidth, queries = config.Heads * config.HeadWidth, keys = config.KeyValueHeads * config.HeadWidth;
        string Name(string pattern) => string.Format(CultureInfo.InvariantCulture, pattern, layer);
        return new BlockWeights
        {
            AttentionNorm = Norm(Name(names.AttentionNorm), width),
            Query = Weight(Name(names.Query), queries, width),
            Key = Weight(Name(names.Key), keys, width),
            Value = Weight(Name(names.Value), keys, width),
            Output = Weight(Name(names.Output), width, queries),
            PostAttentionNorm = names.PostAttentionNorm is { } a ? Norm(Name(a), width) : null,
            MlpNorm = Norm(Name(names.MlpNorm), width),
            Gate = Weight(Name(names.Gate), inner, width),
            Up = Weight(Name(names.Up), inner, width),
            Down = Weight(Name(names.Down), width, inner),
            PostMlpNorm = names.PostMlpNorm is { } m ? Norm(Name(m), width) : null,
        };
    }

    Matrix Weight(string name, int rows, int columns)
    {
        SafetensorsFile file = Find(name, rows, columns);
        return file.Tensors[name].Type == "F16" ? Copy(file.Floats(name), rows, columns) : new Matrix(file.View(name), rows, columns, columns);
    }

    Matrix Norm(string name, int width) => Copy(Find(name, width).Floats(name), 1, width);

    Matrix Copy(float[] values, int rows, int columns)
    {
        Matrix copy = _backend.Matrix(rows, columns);
        _copies.Add(copy.Buffer);
        _backend.Upload(values, copy);
        return copy;
    }

    SafetensorsFile Find(string name, params long[] shape)
    {
        if (!_where.TryGetValue(name, out SafetensorsFile? file))
        {
            throw new DiffractException($"{_folder} has no tensor {name}, wanted [{string.Join(", ", shape)}] as config.json says; the checkpoint is incomplete or of another family");
        }

        TensorEntry entry = file.Tensors[name];
        if (entry.Type is not ("F32" or "BF16" or "F16"))
        {
            throw new DiffractException($"{file.FilePath}: tensor {name} is {entry.Type}, wanted F32, BF16 or F16");
        }

        return entry.Shape.AsSpan().SequenceEqual(shape)
            ? file
            : throw new DiffractException(
                $"{file.FilePath}: tensor {name} has the shape [{string.Join(", ", entry.Shape)}], wanted [{string.Join(", ", shape)}] as config.json says");
    }
}

/// <summary>The tensors of one block.</summary>
sealed record BlockWeights
{
    public required Matrix AttentionNorm { get; init; }

    public required Matrix Query { get; init; }

    public required Matrix Key { get; init; }

    public required Matrix Value { get; init; }

    public required Matrix Output { get; init; }

    public required Matrix? PostAttentionNorm { get; init; }

    public required Matrix MlpNorm { get; init; }

    public required Matrix Gate { get; init; }

    public required Matrix Up { get; init; }

    public required Matrix Down { get; init; }

    public required Matrix? PostMlpNorm { get; init; }
}
