namespace Diffract.Activations.Caches;

/// <summary>What beginning a run from a cache is asked for.</summary>
public sealed record CacheSettings
{
    /// <summary>The base model's <c>layer_n_out</c>.</summary>
    public required string BaseCache { get; init; }

    /// <summary>The chat model's <c>layer_n_out</c>.</summary>
    public required string ChatCache { get; init; }

    /// <summary>Checkpoint folder of the base model; null: there are none, and no edit can be made.</summary>
    public string? BaseModel { get; init; }

    /// <summary>Checkpoint folder of the chat model, or one with its tokenizer and template alone; null: ids stay without text and roles.</summary>
    public string? ChatModel { get; init; }

    /// <summary>The layer, where the folders' names do not say it.</summary>
    public int? Layer { get; init; }

    /// <summary>The id that begins each document, where neither the cache nor a tokenizer says it.</summary>
    public int? Bos { get; init; }

    /// <summary>Decides the splits.</summary>
    public int Seed { get; init; } = 42;

    /// <summary>Share of the documents that train the crosscoder.</summary>
    public double TrainShare { get; init; } = 0.5;

    /// <summary>Share of the documents that Latent Scaling reads.</summary>
    public double ScalingShare { get; init; } = 0.15;

    /// <summary>Every split must get at least so many tokens.</summary>
    public int LeastSplitTokens { get; init; } = 4096;
}
