using Diffract.Evidence;

namespace Diffract.Reports;

/// <summary>Everything the report says about one crosscoder. A part that is missing is null, and <paramref name="Missing"/> says why.</summary>
/// <param name="Name">Its folder name.</param>
/// <param name="Settings">How it was made and how good it is: its row of section 1.</param>
/// <param name="Norms">Section 2.</param>
/// <param name="Scaling">Section 3.</param>
/// <param name="Effects">Section 4, as the evidence stage wrote it.</param>
/// <param name="Cards">Section 5: the most chat-specific latents, in order.</param>
/// <param name="Behaviours">Section 6, as the evidence stage wrote it.</param>
/// <param name="Latents">Section 7: every latent, most interesting first.</param>
/// <param name="Training">Section 8.</param>
/// <param name="Missing">Why a part is missing, by section: norms, scaling, effects, cards, behaviours, latents, training.</param>
public sealed record ReportCrosscoder(
    string Name,
    ReportSetup Settings,
    ReportNorms? Norms,
    ReportScaling? Scaling,
    InterventionResults? Effects,
    IReadOnlyList<ReportCard> Cards,
    BehaviourResults? Behaviours,
    IReadOnlyList<ReportLatent> Latents,
    IReadOnlyList<ReportSeries>? Training,
    IReadOnlyDictionary<string, string> Missing);

/// <summary>A crosscoder's row of section 1. NaN or null: not known for a crosscoder that was not trained here.</summary>
/// <param name="Kind">L1, BatchTopK, JumpReLU or SAE.</param>
/// <param name="Loaded">It was brought along (<c>--crosscoder</c>), not trained in this run.</param>
/// <param name="Latents">L.</param>
/// <param name="K">Active latents a token; null for L1.</param>
/// <param name="Mu">Weight of the L1 penalty; null for BatchTopK.</param>
/// <param name="Steps">Training steps.</param>
/// <param name="Batch">Tokens a step.</param>
/// <param name="LearningRate">Peak learning rate.</param>
/// <param name="Seed">Seed of its initialisation and order.</param>
/// <param name="L0">Mean number of active latents a token.</param>
/// <param name="DeadShare">Share of dead latents.</param>
/// <param name="FvePooled">Variance explained, pooled over all validation tokens.</param>
/// <param name="FveMeanOfBatches">The same as a mean of batches, as published.</param>
/// <param name="FveByModel">Pooled, by model; empty for an SAE, which explains no model of the pair.</param>
/// <param name="Threshold">Selection threshold; NaN for L1.</param>
/// <param name="ValidationTokens">Tokens behind the five numbers above.</param>
public sealed record ReportSetup(
    string Kind, bool Loaded, int Latents, int? K, double? Mu, long? Steps, int? Batch, double? LearningRate, int? Seed,
    double L0, double DeadShare, double FvePooled, double FveMeanOfBatches, IReadOnlyList<double> FveByModel, double Threshold, long ValidationTokens);

/// <summary>Numbers along the training, one value a step.</summary>
/// <param name="Name">loss, variance explained, L0, dead share, threshold or learning rate.</param>
/// <param name="Steps">Step of each value.</param>
/// <param name="Values">The values; thinned to a few hundred.</param>
public sealed record ReportSeries(string Name, IReadOnlyList<long> Steps, IReadOnlyList<double> Values);
