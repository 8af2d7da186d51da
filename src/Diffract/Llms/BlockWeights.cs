using Diffract.Compute.Buffers;

namespace Diffract.Llms;

/// <summary>A linear layer: x · weightᵀ + bias. The weight is [out, in], the bias [1, out] in float32, or null.</summary>
readonly record struct LinearWeights(Matrix Weight, Matrix? Bias);

/// <summary>A norm: the weight is [1, D], the bias of a layer norm too; an RMS norm has none.</summary>
readonly record struct NormWeights(Matrix Weight, Matrix? Bias);

/// <summary>The tensors of one block; null for what the family does not have.</summary>
sealed record BlockWeights
{
    public required NormWeights? AttentionNorm { get; init; }

    public required LinearWeights Query { get; init; }

    public required LinearWeights Key { get; init; }

    public required LinearWeights Value { get; init; }

    public required NormWeights? QueryNorm { get; init; }

    public required NormWeights? KeyNorm { get; init; }

    public required LinearWeights Output { get; init; }

    public required NormWeights? PostAttentionNorm { get; init; }

    public required NormWeights? MlpNorm { get; init; }

    /// <summary>Null for a plain MLP.</summary>
    public required LinearWeights? Gate { get; init; }

    public required LinearWeights Up { get; init; }

    public required LinearWeights Down { get; init; }

    public required NormWeights? PostMlpNorm { get; init; }
}
