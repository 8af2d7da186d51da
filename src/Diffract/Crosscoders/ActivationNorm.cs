using Diffract.Runs;

namespace Diffract.Crosscoders;

/// <summary>
/// Normalisation of activations as published (spec 1.10, relative variance kept): norm(x)_m = (x_m - μ_m)·g_m with g_m = ρ/√(Σ_d σ_md² + 1e-8),
/// and back y_m/(g_m + 1e-8) + μ_m.
/// </summary>
/// <param name="Mean_E">μ.</param>
/// <param name="Std_E">σ.</param>
/// <param name="TargetRms">ρ.</param>
/// <param name="Scale_M">g, rounded as the file keeps it.</param>
public sealed record ActivationNorm(float[] Mean_E, float[] Std_E, float TargetRms, float[] Scale_M)
{
    const double Smallest = 1e-8;

    /// <summary>The normalisation to a given root mean square, from statistics.</summary>
    /// <exception cref="DiffractException">A target that is not above 0.</exception>
    public static ActivationNorm From(float[] mean_E, float[] std_E, float targetRms, int[] modelOffsets)
    {
        if (!(float.IsFinite(targetRms) && targetRms > 0))
        {
            throw DiffractException.Argument(FormattableString.Invariant($"a root mean square of {targetRms} cannot be aimed at; wanted a number above 0"));
        }

        float[] scale_M = new float[modelOffsets.Length - 1];
        for (int m = 0; m < scale_M.Length; m++)
        {
            double variance = 0;
            for (int e = modelOffsets[m]; e < modelOffsets[m + 1]; e++)
            {
                variance += (double)std_E[e] * std_E[e];
            }

            scale_M[m] = (float)(targetRms / Math.Sqrt(variance + Smallest));
        }

        return new ActivationNorm(mean_E, std_E, targetRms, scale_M);
    }

    /// <summary>
    /// The normalisation that multiplies each model's activations by a factor and takes off no mean: how a dictionary that was trained on scaled activations is kept in published files. σ is
    /// such that the published formula gives the factor back.
    /// </summary>
    public static ActivationNorm OfFactors(ReadOnlySpan<double> factor_M, int[] modelOffsets)
    {
        float[] std_E = new float[modelOffsets[^1]], scale_M = new float[factor_M.Length];
        for (int m = 0; m < scale_M.Length; m++)
        {
            int width = modelOffsets[m + 1] - modelOffsets[m];
            std_E.AsSpan(modelOffsets[m], width).Fill((float)Math.Sqrt(Math.Max(0, (1 / (factor_M[m] * factor_M[m])) - Smallest) / width));
            scale_M[m] = (float)factor_M[m];
        }

        return new ActivationNorm(new float[modelOffsets[^1]], std_E, 1, scale_M);
    }

    /// <summary>True where activations are only multiplied (<see cref="OfFactors"/>).</summary>
    public bool OnlyScales => Array.TrueForAll(Mean_E, m => m == 0);

    /// <summary>g of each column.</summary>
    public float[] Factor_E(int[] modelOffsets) => Spread(modelOffsets, g => g);

    /// <summary>1/(g + 1e-8) of each column.</summary>
    public float[] Inverse_E(int[] modelOffsets) => Spread(modelOffsets, g => (float)(1 / (g + Smallest)));

    float[] Spread(int[] modelOffsets, Func<float, float> of)
    {
        float[] values = new float[modelOffsets[^1]];
        for (int m = 0; m < Scale_M.Length; m++)
        {
            values.AsSpan(modelOffsets[m]..modelOffsets[m + 1]).Fill(of(Scale_M[m]));
        }

        return values;
    }
}
