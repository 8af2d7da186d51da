using Diffract.Compute.Kernels;

namespace Diffract.Crosscoders;

/// <summary>What is decided for first weights that come without a configuration; null leaves it to the file.</summary>
public sealed record InitChoices
{
    /// <summary>A file with k or threshold may still be trained as L1. Null: BatchTopK where the file has k, else L1.</summary>
    public CrosscoderKind? Kind { get; init; }

    public CodeNormKind? CodeNorm { get; init; }

    /// <summary>Weights of the code norm MIXED.</summary>
    public double AlphaSae { get; init; } = 1.0;

    public double AlphaCc { get; init; } = 0.1;

    public int? K { get; init; }

    /// <summary>From L to the latents designated to the base and to the chat model; null, or its null: those that the file names.</summary>
    public Func<int, (int BaseOnly, int ChatOnly)?>? Partition { get; init; }

    /// <summary>Models that the encoder reads. Null: the first ones, as many as the file's encoder has.</summary>
    public int[]? EncoderModels { get; init; }
}
