using System.Globalization;
using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;

namespace Diffract.Llms;

/// <summary>
/// The tensors of a checkpoint, checked for type and shape. float32 and bfloat16 matrices stay in the memory-mapped files, parts of a fused one too; what lies transposed or head by head is
/// copied in its type; float16 is widened at load (exactly), norms and biases too.
/// </summary>
sealed class LlmWeights : IDisposable
{
    readonly CheckpointTensors _tensors;
    readonly LlmConfig _config;
    readonly LlmTensorNames _names;

    LlmWeights(string folder, LlmConfig config, IBackend backend, bool headNeeded)
    {
        (_config, _names) = (config, config.Traits.Tensors);
        _tensors = new CheckpointTensors(folder, backend);
        try
        {
            string prefix = _tensors.Has(_names.Prefix + _names.Embedding + ".weight") || !_tensors.Has(_names.Embedding + ".weight") ? _names.Prefix : "";
            Embedding = _tensors.Matrix(prefix + _names.Embedding + ".weight", config.Vocabulary, config.Width);
            Positions = _names.Positions is { } p ? _tensors.Matrix(prefix + p + ".weight", config.ContextLimit, config.Width) : null;
            Blocks = [.. Enumerable.Range(0, config.Layers).Select(i => Block(prefix + string.Format(CultureInfo.InvariantCulture, _names.Block, i)))];
            if (headNeeded)
            {
                FinalNorm = Norm(prefix + _names.FinalNorm, config.Width);
                Head = config.TiesEmbeddings ? Embedding : _tensors.Matrix(_names.Head + ".weight", config.Vocabulary, config.Width);
            }

            _tensors.RefuseUnused(prefix, _names.Block, config);
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>[V, D].</summary>
    public Matrix Embedding { get; }

    /// <summary>[positions, D]: what is added to the embeddings, or null.</summary>
    public Matrix? Positions { get; }

    public IReadOnlyList<BlockWeights> Blocks { get; } = [];

    /// <summary>Null when no head was asked for.</summary>
    public NormWeights? FinalNorm { get; }

    /// <summary>[V, D]; null when no head was asked for.</summary>
    public Matrix? Head { get; }

    public static LlmWeights Load(string folder, LlmConfig config, IBackend backend, bool headNeeded) => new(folder, config, backend, headNeeded);

    /// <summary>Gives what was read of the mapped files back to the system; copies stay.</summary>
    public void Release() => _tensors.ReleaseFiles();

    public void Dispose() => _tensors.Dispose();

    BlockWeights Block(string block)
    {
        int width = _config.Width, inner = _config.MlpWidth, head = _config.HeadWidth, queries = _config.Heads * head, keys = _config.KeyValueHeads * head;
        (LinearWeights query, LinearWeights key, LinearWeights value) = QueryKeyValue(block, queries, keys);
        (LinearWeights? gate, LinearWeights up) = GateUp(block, inner);
        bool byHead = _config.Traits.QueryKeyNorm == QueryKeyNorm.Head, normed = _config.Traits.QueryKeyNorm != QueryKeyNorm.None;
        return new BlockWeights
        {
            AttentionNorm = Norm(block, _names.AttentionNorm),
            Query = query,
            Key = key,
            Value = value,
            QueryNorm = normed ? Norm(block + _names.QueryNorm, byHead ? head : queries) : null,
            KeyNorm = normed ? Norm(block + _names.KeyNorm, byHead ? head : keys) : null,
            Output = Linear(block + _names.Output, width, queries, _config.OutputBias),
            PostAttentionNorm = Norm(block, _names.PostAttentionNorm),
            MlpNorm = Norm(block, _names.MlpNorm),
            Gate = gate,
            Up = up,
            Down = Linear(block + _names.Down, width, inner, _config.MlpBias),
            PostMlpNorm = Norm(block, _names.PostMlpNorm),
        };
    }

    (LinearWeights Query, LinearWeights Key, LinearWeights Value) QueryKeyValue(string block, int queries, int keys)
    {
        int width = _config.Width;
        bool bias = _config.QueryKeyValueBias;
        if (_config.Traits.QueryKeyValueLayout == QueryKeyValueLayout.Separate)
        {
            return (Linear(block + _names.Query, queries, width, bias), Linear(block + _names.Key, keys, width, bias), Linear(block + _names.Value, keys, width, bias));
        }

        LinearWeights fused = Linear(block + _names.QueryKeyValue, queries + 2 * keys, width, bias);
        if (_config.Traits.QueryKeyValueLayout == QueryKeyValueLayout.ByHead)
        {
            // Row (part, head, i) comes from row (head, part, i).
            int head = _config.HeadWidth;
            int Source(int row) => (row / head % _config.Heads * 3 + row / queries) * head + row % head;
            fused = new LinearWeights(_tensors.Rows(fused.Weight, Source), fused.Bias is { } b ? _tensors.Columns(b, Source) : null);
        }

        return (Part(fused, 0, queries), Part(fused, queries, keys), Part(fused, queries + keys, keys));
    }

    (LinearWeights? Gate, LinearWeights Up) GateUp(string block, int inner)
    {
        bool bias = _config.MlpBias;
        if (_names.GateUp is not { } both)
        {
            return (_names.Gate is { } gate ? Linear(block + gate, inner, _config.Width, bias) : null, Linear(block + _names.Up, inner, _config.Width, bias));
        }

        LinearWeights fused = Linear(block + both, 2 * inner, _config.Width, bias);
        return (Part(fused, 0, inner), Part(fused, inner, inner));
    }

    /// <summary>Some of the outputs of a linear layer.</summary>
    static LinearWeights Part(LinearWeights fused, int first, int count) => new(fused.Weight.SliceRows(first, count), fused.Bias?.SliceColumns(first, count));

    LinearWeights Linear(string name, int outputs, int inputs, bool bias) => new(
        _config.Traits.StoresTransposed ? _tensors.Transposed(name + ".weight", outputs, inputs) : _tensors.Matrix(name + ".weight", outputs, inputs),
        bias ? _tensors.Vector(name + ".bias", outputs) : null);

    NormWeights? Norm(string block, string? name) => name is null ? null : Norm(block + name, _config.Width);

    NormWeights Norm(string name, int width) => new(_tensors.Vector(name + ".weight", width), _config.Traits.LayerNorms ? _tensors.Vector(name + ".bias", width) : null);
}
