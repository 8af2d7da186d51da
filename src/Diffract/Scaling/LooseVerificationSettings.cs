using Diffract.Latents;

namespace Diffract.Scaling;

/// <summary>What decides a verification of betas.</summary>
public sealed record LooseVerificationSettings
{
    /// <summary>The dictionary and held-out activations.</summary>
    public required LooseReading Dictionary { get; init; }

    /// <summary>What `scale` wrote.</summary>
    public required string Betas { get; init; }

    /// <summary>JSON to write.</summary>
    public required string Out { get; init; }

    /// <summary>Equal parts of a latent's maximum.</summary>
    public int Buckets { get; init; } = 3;

    /// <summary>Share of the maximum below which a code is in a bucket of its own; 0: none.</summary>
    public double Noise { get; init; }

    /// <summary>safetensors with <c>max_activation</c> [L], unscaled; null: the maxima over the activations.</summary>
    public string? Maxima { get; init; }
}
