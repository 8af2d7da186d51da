using System.Globalization;

namespace Diffract.Planted;

/// <summary>Mean over seeds with the 95% t-interval, t·s/√n with n - 1 degrees of freedom; values that are no number are left out.</summary>
/// <param name="Mean">NaN without a value.</param>
/// <param name="HalfWidth">NaN below two values.</param>
/// <param name="Count">Values.</param>
public readonly record struct SeedInterval(double Mean, double HalfWidth, int Count)
{
    /// <summary>97.5% quantiles of Student's t for 1 to 30 degrees of freedom.</summary>
    static readonly double[] Quantiles =
    [
        12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086,
        2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
    ];

    public static SeedInterval Of(IEnumerable<double> values)
    {
        double[] v = [.. values.Where(x => !double.IsNaN(x))];
        double mean = v.Length == 0 ? double.NaN : v.Average();
        double half = v.Length < 2 ? double.NaN
            : Quantiles[Math.Min(v.Length - 1, Quantiles.Length) - 1] * Math.Sqrt(v.Sum(x => (x - mean) * (x - mean)) / (v.Length - 1) / v.Length);
        return new SeedInterval(mean, half, v.Length);
    }

    /// <summary>"0.91 ± 0.03"; "-" without a value.</summary>
    public string Text(string format) => double.IsNaN(Mean) ? "-"
        : Mean.ToString(format, CultureInfo.InvariantCulture) + (double.IsNaN(HalfWidth) ? "" : " ± " + HalfWidth.ToString(format, CultureInfo.InvariantCulture));
}
