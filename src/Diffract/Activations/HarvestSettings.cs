using Diffract.Runs;

namespace Diffract.Activations;

/// <summary>What the harvest stage is asked for.</summary>
public sealed record HarvestSettings
{
    /// <summary>0-based block of each model whose output is stored; null: half the blocks, rounded down.</summary>
    public LayerPair? Layer { get; init; }

    /// <summary>How rows are kept.</summary>
    public StorageKind Storage { get; init; } = StorageKind.BFloat16;

    /// <summary>A shard, the unit that one task makes, ends with the document before the one that would exceed so many tokens.</summary>
    public int ShardTokens { get; init; } = 65_536;

    /// <summary>
    /// Makes the smaller store beside a streamed training: of each split but training, and of documents and chats each, the first documents until there are so many rows. Null: everything is stored.
    /// </summary>
    public long? KeepTokens { get; init; }

    /// <summary>Tokens that pass through a model together; changes the speed, never the result.</summary>
    public int BatchTokens { get; init; } = 4096;

    /// <summary>Which shards this process makes; null: all. Never changes the result.</summary>
    public TaskShare? Share { get; init; }
}
