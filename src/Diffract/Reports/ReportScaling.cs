using Bounds = Diffract.Scaling.Verdicts;

namespace Diffract.Reports;

/// <summary>Section 3: Latent Scaling of the chat-only latents, with a sample of shared ones for comparison.</summary>
/// <param name="Verdicts">The five verdicts, counted over the chat-only latents.</param>
/// <param name="Tokens">Tokens behind the betas.</param>
/// <param name="ErrorMedian">Median nu-error of the chat-only latents with a number; NaN when there are none.</param>
/// <param name="ReconstructionMedian">Median nu-reconstruction of the same.</param>
/// <param name="SharedErrorMedian">Median nu-error of all shared latents that fired often enough.</param>
/// <param name="SharedReconstructionMedian">Median nu-reconstruction of the same.</param>
/// <param name="SharedTotal">How many those are.</param>
/// <param name="BelowNorm">Latents that pass both ratios though their relative decoder norm is not above 0.9 (base-only ones left out): what the norm alone overlooks.</param>
/// <param name="Points">Every chat-only latent with both ratios, those of <paramref name="BelowNorm"/>, then a sample of the shared ones.</param>
public sealed record ReportScaling(
    VerdictCounts Verdicts, long Tokens, double ErrorMedian, double ReconstructionMedian,
    double SharedErrorMedian, double SharedReconstructionMedian, int SharedTotal, int BelowNorm, IReadOnlyList<ScalingPoint> Points)
{
    /// <summary>Shared latents shown in the scatter.</summary>
    public const int SharedSample = 400;

    public static ReportScaling From(IReadOnlyList<ReportLatent> latents, long tokens)
    {
        List<ReportLatent> chatOnly = [.. latents.Where(l => l.Class == "chat-only")];
        List<ReportLatent> shown = [.. chatOnly.Where(HasRatios).OrderBy(l => l.Latent)];
        List<ReportLatent> shared = [.. latents.Where(l => l.Class == "shared" && HasRatios(l) && l.ScalingActive >= Bounds.FewestActivations).OrderBy(l => l.Latent)];

        List<ReportLatent> below = [.. latents.Where(PassesBelowNorm).OrderBy(l => l.Latent)];

        // Evenly spaced, so that the sample is the same in every report of the run.
        int step = Math.Max(1, (shared.Count + SharedSample - 1) / SharedSample);
        IEnumerable<ReportLatent> sample = shared.Where((l, i) => i % step == 0 && !PassesBelowNorm(l));
        return new ReportScaling(
            VerdictCounts.From(chatOnly), tokens, Median(shown.Select(l => l.NuError)), Median(shown.Select(l => l.NuReconstruction)),
            Median(shared.Select(l => l.NuError)), Median(shared.Select(l => l.NuReconstruction)), shared.Count, below.Count,
            [.. shown.Select(l => ScalingPoint.From(l, l.Verdict)), .. below.Select(l => ScalingPoint.From(l, BelowNormName)), .. sample.Select(l => ScalingPoint.From(l, "shared"))]);
    }

    /// <summary>What <see cref="ScalingPoint.Verdict"/> calls a latent of <see cref="BelowNorm"/>.</summary>
    public const string BelowNormName = "passes below 0.9";

    static bool PassesBelowNorm(ReportLatent l)
        => l.Class is "shared" or "other" && l.ScalingActive >= Bounds.FewestActivations && Math.Abs(l.NuError) < Bounds.NuErrorBelow && Math.Abs(l.NuReconstruction) < Bounds.NuReconstructionBelow;

    static bool HasRatios(ReportLatent latent) => double.IsFinite(latent.NuError) && double.IsFinite(latent.NuReconstruction);

    static double Median(IEnumerable<double> values)
    {
        double[] sorted = [.. values.Order()];
        return sorted.Length == 0 ? double.NaN : (sorted[(sorted.Length - 1) / 2] + sorted[sorted.Length / 2]) / 2;
    }
}

/// <summary>One latent of the scatter.</summary>
/// <param name="Latent">Index.</param>
/// <param name="Verdict">Its verdict, or "shared" for a latent of the sample.</param>
/// <param name="NuReconstruction">x.</param>
/// <param name="NuReconstructionSe">Standard error by jackknife.</param>
/// <param name="NuError">y.</param>
/// <param name="NuErrorSe">Standard error by jackknife.</param>
/// <param name="DeltaNorm">Relative decoder norm.</param>
/// <param name="Active">Activations behind the ratios.</param>
public sealed record ScalingPoint(
    int Latent, string Verdict, double NuReconstruction, double NuReconstructionSe, double NuError, double NuErrorSe, double DeltaNorm, long Active)
{
    public static ScalingPoint From(ReportLatent l, string verdict)
        => new(l.Latent, verdict, l.NuReconstruction, l.NuReconstructionSe, l.NuError, l.NuErrorSe, l.DeltaNorm, l.ScalingActive);
}

/// <summary>Verdicts of the chat-only latents.</summary>
/// <param name="ChatSpecific">|nu-error| &lt; 0.2 and |nu-reconstruction| &lt; 0.5.</param>
/// <param name="CompleteShrinkage">Only the first fails.</param>
/// <param name="Decoupling">Only the second fails.</param>
/// <param name="Both">Both fail.</param>
/// <param name="Undecided">No number, or fewer than 50 activations.</param>
public sealed record VerdictCounts(int ChatSpecific, int CompleteShrinkage, int Decoupling, int Both, int Undecided)
{
    public int Total => ChatSpecific + CompleteShrinkage + Decoupling + Both + Undecided;

    public static VerdictCounts From(IReadOnlyList<ReportLatent> chatOnly)
    {
        int Of(string verdict) => chatOnly.Count(l => l.Verdict == verdict);
        return new(Of("chat-specific"), Of("complete shrinkage"), Of("decoupling"), Of("both"), Of("undecided"));
    }
}
