using Diffract.Latents;

namespace Diffract.Scaling;

/// <summary>What decides Latent Scaling on loose files.</summary>
public sealed record LooseScalingSettings
{
    /// <summary>What is scaled on which activations.</summary>
    public required LooseReading Dictionary { get; init; }

    /// <summary>safetensors to write.</summary>
    public required string Out { get; init; }

    /// <summary>Along which directions.</summary>
    public VectorChoice Vectors { get; init; }

    /// <summary>Directions from a file instead of the seed; null: drawn.</summary>
    public string? VectorsFile { get; init; }

    /// <summary>Of the draws.</summary>
    public int Seed { get; init; } = 42;

    /// <summary>JSON array of the latents that are written, in their order; null: all.</summary>
    public string? Latents { get; init; }

    /// <summary>T: a code below T times its latent's maximum counts as 0, also in the reconstruction; null: none does.</summary>
    public double? ActiveAbove { get; init; }

    /// <summary>safetensors with <c>max_activation</c> [L], unscaled; null: the maximum over the given rows.</summary>
    public string? Maxima { get; init; }

    /// <summary>Rows that are taken; null: all.</summary>
    public int? Samples { get; init; }

    /// <summary>How many times so many rows are passed over first.</summary>
    public int Offset { get; init; }

    /// <summary>Folder for the published files; null: none are written.</summary>
    public string? Published { get; init; }

    /// <summary>Appended to the published files' names.</summary>
    public string? Name { get; init; }
}
