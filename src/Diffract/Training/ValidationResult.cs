using System.Text.Json.Nodes;

namespace Diffract.Training;

/// <summary>How a crosscoder does on rows that it was not trained on, with inference selection (spec 3.8).</summary>
/// <param name="Tokens">Rows looked at. Where a crosscoder normalises activations, everything here is about normalised ones.</param>
/// <param name="FvePooled">1 - Σ Var(x - x̂) / Σ Var(x), variances over all rows.</param>
/// <param name="FveMeanOfBatches">The mean over batches of the same with variances within the batch, as the reference library reports it.</param>
/// <param name="FveByModel">Pooled, by model.</param>
/// <param name="L0">Active latents per token.</param>
/// <param name="DeadShare">Share of latents that never fired here.</param>
/// <param name="L2">Mean length of the error over tokens and models.</param>
/// <param name="Mse">Mean squared length of the error.</param>
/// <param name="Sparsity">Mean over tokens of Σ f·s.</param>
/// <param name="SpecificLatents">For each model, latents whose decoder norm is almost all that model's (relative norm above 0.9).</param>
public sealed record ValidationResult(
    long Tokens, double FvePooled, double FveMeanOfBatches, double[] FveByModel, double L0, double DeadShare, double L2, double Mse, double Sparsity, int[] SpecificLatents)
{
    /// <summary>Mean length of each model's error.</summary>
    public double[] L2ByModel { get; init; } = [];

    /// <summary>Mean squared length of each model's error.</summary>
    public double[] MseByModel { get; init; } = [];

    /// <summary>As a stage's facts record it.</summary>
    public JsonObject ToJson() => new()
    {
        ["validationTokens"] = Tokens,
        ["fvePooled"] = FvePooled,
        ["fveMeanOfBatches"] = FveMeanOfBatches,
        ["fveByModel"] = new JsonArray([.. FveByModel.Select(v => (JsonNode)v)]),
        ["l0"] = L0,
        ["deadShare"] = DeadShare,
        ["l2"] = L2,
        ["mse"] = Mse,
        ["l2ByModel"] = new JsonArray([.. L2ByModel.Select(v => (JsonNode)v)]),
        ["mseByModel"] = new JsonArray([.. MseByModel.Select(v => (JsonNode)v)]),
        ["sparsity"] = Sparsity,
        ["specificLatents"] = new JsonArray([.. SpecificLatents.Select(v => (JsonNode)v)]),
    };
}
