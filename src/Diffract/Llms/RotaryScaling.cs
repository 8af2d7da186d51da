namespace Diffract.Llms;

/// <summary>
/// <c>rope_scaling</c>: <c>linear</c> divides every frequency by a factor; <c>llama3</c> divides those whose wave is longer than the old context over <paramref name="LowFrequencyFactor"/>,
/// leaves those with a wave shorter than the old context over <paramref name="HighFrequencyFactor"/>, and goes smoothly from the one to the other between.
/// </summary>
/// <param name="Type"><c>linear</c> or <c>llama3</c>.</param>
/// <param name="Factor">The divisor.</param>
/// <param name="LowFrequencyFactor">Of llama3.</param>
/// <param name="HighFrequencyFactor">Of llama3.</param>
/// <param name="OldContext">Of llama3: the context that the model had before, in tokens.</param>
public sealed record RotaryScaling(string Type, double Factor, double LowFrequencyFactor = 0, double HighFrequencyFactor = 0, int OldContext = 0)
{
    public const string Linear = "linear";
    public const string Llama3 = "llama3";

    /// <summary>The scaled frequency, each step in float32.</summary>
    public float Of(float frequency)
    {
        float factor = (float)Factor;
        if (Type == Linear)
        {
            return frequency / factor;
        }

        float wave = (float)(2 * Math.PI) / frequency;
        float longest = (float)(OldContext / LowFrequencyFactor), shortest = (float)(OldContext / HighFrequencyFactor);
        if (wave > longest)
        {
            return frequency / factor;
        }

        if (wave < shortest)
        {
            return frequency;
        }

        float smooth = (OldContext / wave - (float)LowFrequencyFactor) / (float)(HighFrequencyFactor - LowFrequencyFactor);
        return (1 - smooth) * frequency / factor + smooth * frequency;
    }
}
