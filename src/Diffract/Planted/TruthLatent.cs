namespace Diffract.Planted;

/// <summary>One latent of a true dictionary.</summary>
/// <param name="Index">Its index.</param>
/// <param name="Class">What it is in the two models.</param>
/// <param name="Rate">Chance that it fires on a token.</param>
/// <param name="Partner">Decoupled: the other one of the pair; else -1.</param>
/// <param name="CorrelatedWith">The latent that it tends to fire with; -1 for none.</param>
/// <param name="Correlation">Pearson correlation of the two indicators; 0 without one.</param>
/// <param name="BaseNorm">‖d_base‖.</param>
/// <param name="ChatNorm">‖d_chat‖.</param>
/// <param name="Cosine">Between d_base and d_chat; 0 where one of them is 0.</param>
public sealed record TruthLatent(int Index, TruthClass Class, double Rate, int Partner, int CorrelatedWith, double Correlation, double BaseNorm, double ChatNorm, double Cosine);
