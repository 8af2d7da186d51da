namespace Diffract.Training;

/// <summary>What one step logs. NaN where a kind has no such number.</summary>
/// <param name="Step">From 0.</param>
/// <param name="Loss">The whole loss, before the update of this step.</param>
/// <param name="L2">Mean length of the error over tokens and models.</param>
/// <param name="Mse">Mean squared length of the error.</param>
/// <param name="Sparsity">L1: mean over tokens of Σ f·s; JumpReLU: of Σ u·tanh(q/u).</param>
/// <param name="Aux">BatchTopK, JumpReLU: the auxiliary loss, before its weight; 0 when no latent is dead.</param>
/// <param name="Threshold">BatchTopK: the inference threshold after this step (the first model's of a decoupled code); -1 when unset. JumpReLU: the mean of the thresholds after this step.</param>
/// <param name="Dead">Latents past the dead horizon, this batch counted.</param>
/// <param name="K">BatchTopK: k of this step.</param>
/// <param name="GradNorm">Norm of all gradients before clipping, where clipping is on.</param>
/// <param name="LearningRate">Learning rate of this step.</param>
/// <param name="L0">Active latents per token.</param>
public readonly record struct StepRecord(
    long Step, double Loss, double L2, double Mse, double Sparsity, double Aux, double Threshold, int Dead, double K, double GradNorm, double LearningRate, double L0)
{
    /// <summary>The thresholds by model of a decoupled code after this step (the crosscoder's own array); else null.</summary>
    public float[]? Thresholds { get; init; }
}
