namespace Diffract.Llms;

/// <summary>
/// A family of checkpoints as data: where its tensors are, which switches of the one forward pass it sets, what its configuration calls things, and what its configuration
/// class assumes for keys that are absent. The families themselves are in <see cref="LlmFamilies"/>.
/// </summary>
public sealed record LlmFamily
{
    /// <summary><c>model_type</c> in config.json.</summary>
    public required string Name { get; init; }

    /// <summary>What its checkpoints are called.</summary>
    public required string Title { get; init; }

    /// <summary>Names of its tensors.</summary>
    public required LlmTensorNames Tensors { get; init; }

    /// <summary>Names of its keys in config.json.</summary>
    public LlmKeys Keys { get; init; } = new();

    /// <summary>Values for keys that config.json leaves out.</summary>
    public required LlmDefaults Defaults { get; init; }

    /// <summary>Layer norms with a weight and a bias instead of RMS norms.</summary>
    public bool LayerNorms { get; init; }

    /// <summary>Added to every RMS norm's weight: 1 where the checkpoint stores the weight minus one.</summary>
    public float NormOffset { get; init; }

    /// <summary>Whether embeddings are multiplied by √D, rounded to float32 (as transformers does for a model that is computed in float32, whatever its file's type).</summary>
    public bool ScalesEmbeddings { get; init; }

    /// <summary>Whether positions are learned vectors that are added to the embeddings; otherwise they are rotary.</summary>
    public bool LearnsPositions { get; init; }

    /// <summary>Older names of the rotary scaling longrope.</summary>
    public IReadOnlyList<string> OlderLongRopeNames { get; init; } = [];

    /// <summary>RMS norms of queries and keys, before the rotary positions.</summary>
    public QueryKeyNorm QueryKeyNorm { get; init; }

    /// <summary>How queries, keys and values lie in the file.</summary>
    public QueryKeyValueLayout QueryKeyValueLayout { get; init; }

    /// <summary>Whether matrices of the blocks are stored [in, out], so that they are transposed when loaded.</summary>
    public bool StoresTransposed { get; init; }

    /// <summary>Biases of queries, keys and values.</summary>
    public BiasRule QueryKeyValueBias { get; init; }

    /// <summary>Bias of the attention's output.</summary>
    public BiasRule OutputBias { get; init; }

    /// <summary>Biases of the MLP's matrices.</summary>
    public BiasRule MlpBias { get; init; }

    /// <summary>Which blocks attend through a sliding window.</summary>
    public WindowRule Windows { get; init; }

    /// <summary>Fields of config.json that are read, in the order of reading: those that the reader really asks for.</summary>
    public IReadOnlyList<string> Fields => LlmConfig.FieldsOf(this);

    /// <summary>Whether a block's matrix of this name is copied at load, in its type, since the file holds it transposed or head by head.</summary>
    internal bool Copies(string tensor) => tensor.EndsWith(".weight", StringComparison.Ordinal) && tensor.Contains(BlocksStart, StringComparison.Ordinal)
        && (StoresTransposed || (QueryKeyValueLayout == QueryKeyValueLayout.ByHead && tensor.EndsWith(Tensors.QueryKeyValue + ".weight", StringComparison.Ordinal)));

    /// <summary>What stands in front of a block's number.</summary>
    string BlocksStart => Tensors.Block[..Tensors.Block.IndexOf('{', StringComparison.Ordinal)];

    /// <summary>Every family that is read, by name.</summary>
    public static IReadOnlyDictionary<string, LlmFamily> Supported { get; } = LlmFamilies.All.ToDictionary(f => f.Name, StringComparer.Ordinal);
}
