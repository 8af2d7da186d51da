using System.Globalization;
using Diffract.Runs;

namespace Diffract.Crosscoders;

/// <summary>
/// What <c>--input-scale</c> says of a dictionary that was trained on scaled activations: the factor of each model, that it is to be estimated, that there is none, or nothing.
/// </summary>
public sealed record InputScale
{
    InputScale(string? text, double[]? factors)
    {
        Text = text;
        Factors = factors;
    }

    /// <summary>Nothing was said: a layout whose published dictionaries may need it is tried with and without.</summary>
    public static InputScale Unsaid { get; } = new(null, null);

    /// <summary>As it was given; null where nothing was said.</summary>
    public string? Text { get; }

    /// <summary>One for all models, or one for each; null where none was given.</summary>
    public double[]? Factors { get; }

    public bool Auto => Text == "auto";

    /// <summary>Reads <c>S</c>, <c>S0,S1</c>, <c>auto</c> or <c>none</c>.</summary>
    /// <exception cref="DiffractException">Something else.</exception>
    public static InputScale Parse(string? text)
    {
        if (text is null)
        {
            return Unsaid;
        }

        if (text is "auto" or "none")
        {
            return new InputScale(text, null);
        }

        double[] factors = [.. text.Split(',', StringSplitOptions.TrimEntries)
            .Select(p => double.TryParse(p, NumberStyles.Float, CultureInfo.InvariantCulture, out double s) && double.IsFinite((float)s) && (float)s > 0 ? s : double.NaN)];
        return factors.Any(double.IsNaN)
            ? throw DiffractException.Argument($"--input-scale {text} is no factor; wanted a number above 0, one for each model with commas between, auto, or none")
            : new InputScale(text, factors);
    }
}
