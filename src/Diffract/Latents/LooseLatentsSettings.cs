using Diffract.Crosscoders;

namespace Diffract.Latents;

/// <summary>What decides a latent table from weights alone.</summary>
public sealed record LooseLatentsSettings
{
    /// <summary>Folder of the dictionary.</summary>
    public required string Folder { get; init; }

    /// <summary>CSV to write.</summary>
    public required string Out { get; init; }

    /// <summary>Another dictionary, for the largest cosines; null: none.</summary>
    public string? Against { get; init; }

    /// <summary>A table whose other columns are kept; null: none.</summary>
    public string? Table { get; init; }

    /// <summary>Folder for the published sets of latents; null: not written.</summary>
    public string? Sets { get; init; }

    /// <summary>Latents in the set of the smallest norm differences; -1: as many as are tagged chat-only.</summary>
    public int Lowest { get; init; } = 3176;

    /// <summary>Latents in the sample of the shared ones.</summary>
    public int Sample { get; init; } = 1000;

    /// <summary>Of the samples.</summary>
    public uint Seed { get; init; } = 42;

    /// <summary>safetensors with the activations to look at; null: weights alone.</summary>
    public string? Activations { get; init; }

    /// <summary>JSON lines with ids, and roles, of the same tokens; null: none.</summary>
    public string? Ids { get; init; }

    /// <summary>Folder for the published cache of sparse activations; null: not written.</summary>
    public string? Cache { get; init; }

    /// <summary>JSON array of the latents that go into the cache; null: all.</summary>
    public string? CacheLatents { get; init; }

    /// <summary>Fills sequences of the cache up.</summary>
    public int PadId { get; init; }

    /// <summary>Folder for the published files of template statistics; null: not written.</summary>
    public string? Template { get; init; }

    /// <summary>As in <see cref="LooseReading.InputScale"/>.</summary>
    public InputScale InputScale { get; init; } = InputScale.Unsaid;

    /// <summary>As in <see cref="LooseReading.AllowUnsetThreshold"/>.</summary>
    public bool AllowUnsetThreshold { get; init; }

    /// <summary>As in <see cref="LooseReading.Code"/>.</summary>
    public string? Code { get; init; }

    /// <summary>As in <see cref="LooseReading.Difference"/>.</summary>
    public string? Difference { get; init; }
}
