namespace Diffract.Scaling;

/// <summary>Standard errors by leaving out one block of documents at a time: se² = (G-1)/G · Σ(θ_g - mean θ)².</summary>
public static class Jackknife
{
    /// <param name="leftOut">[G]: the estimate without block g.</param>
    /// <returns>NaN when G is below 2 or an estimate is not finite (all activations in one block).</returns>
    public static double StandardError(ReadOnlySpan<double> leftOut)
    {
        if (leftOut.Length < 2)
        {
            return double.NaN;
        }

        double mean = 0;
        foreach (double value in leftOut)
        {
            mean += value;
        }

        mean /= leftOut.Length;
        double squares = 0;
        foreach (double value in leftOut)
        {
            squares += (value - mean) * (value - mean);
        }

        double error = Math.Sqrt(squares * (leftOut.Length - 1) / leftOut.Length);
        return double.IsFinite(error) ? error : double.NaN;
    }
}
