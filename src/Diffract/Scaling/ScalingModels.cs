using Diffract.Crosscoders;
using Diffract.Runs;

namespace Diffract.Scaling;

/// <summary>Which crosscoders Latent Scaling can take.</summary>
public static class ScalingModels
{
    /// <summary>Refuses a crosscoder on other than two models of one width, and BatchTopK without a threshold unless that is allowed.</summary>
    /// <param name="crosscoder">The crosscoder.</param>
    /// <param name="name">What the message calls it.</param>
    /// <param name="allowUnsetThreshold">Go on with a dense code.</param>
    public static void Check(Crosscoder crosscoder, string name, bool allowUnsetThreshold)
    {
        int[] widths = crosscoder.Config.Widths;
        if (!crosscoder.Config.Sae && (widths.Length != 2 || widths[0] != widths[1]))
        {
            throw new DiffractException($"crosscoder {name} has models of width {string.Join(" and ", widths)}; Latent Scaling compares two models of one width");
        }

        if (crosscoder.ThresholdUnset && !allowUnsetThreshold)
        {
            throw new DiffractException(
                $"crosscoder {name} has no threshold yet (it is set late in training), so that its code would be dense; train it further, or give --allow-unset-threshold");
        }
    }
}
