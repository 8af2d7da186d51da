namespace Diffract.Llms;

/// <summary>
/// <c>rope_scaling</c>: how rotary frequencies are changed for longer contexts, as transformers 5 computes them, each step in float32. Frequency i is made from the power p_i = θ^(2i/R), unscaled it is 1/p_i.
/// </summary>
public abstract record RotaryScaling
{
    /// <summary>Factor of the cosines and sines: of every query and every key.</summary>
    public virtual double AttentionFactor => 1;

    /// <summary>The longest sequence for which these frequencies hold, in tokens; longer ones have others. 0: any.</summary>
    public virtual int LongestSequence => 0;

    /// <summary>Frequency i of R/2.</summary>
    /// <param name="index">i.</param>
    /// <param name="power">p_i.</param>
    public abstract float Frequency(int index, float power);

    /// <summary>Every frequency divided by a factor.</summary>
    public sealed record Linear(double Factor) : RotaryScaling
    {
        public override float Frequency(int index, float power) => 1 / power / (float)Factor;
    }

    /// <summary>
    /// Divides the frequencies whose wave is longer than the old context over <paramref name="LowFrequencyFactor"/>, leaves those with a wave shorter than the old context over
    /// <paramref name="HighFrequencyFactor"/>, and goes smoothly from the one to the other between.
    /// </summary>
    public sealed record Llama3(double Factor, double LowFrequencyFactor, double HighFrequencyFactor, int OldContext) : RotaryScaling
    {
        public override float Frequency(int index, float power)
        {
            float frequency = 1 / power, factor = (float)Factor;
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

    /// <summary>
    /// YaRN (arXiv 2309.00071): frequencies that turn more than <c>beta_fast</c> times in the old context stay, those below <c>beta_slow</c> are divided by the factor, and between the two it goes linearly by index.
    /// </summary>
    /// <param name="Factor">The divisor.</param>
    /// <param name="First">Index from which on a frequency changes; may lie between two.</param>
    /// <param name="Last">Index from which on it is divided whole.</param>
    /// <param name="Attention">The attention factor.</param>
    public sealed record Yarn(double Factor, double First, double Last, double Attention) : RotaryScaling
    {
        public override double AttentionFactor => Attention;

        /// <summary>The index (not whole) of R/2 frequencies that turns so many times in the old context: R·ln(context / (2π·turns)) / (2·ln θ).</summary>
        public static double IndexOf(double turns, int width, double theta, int oldContext) => width * Math.Log(oldContext / (turns * 2 * Math.PI)) / (2 * Math.Log(theta));

        /// <summary>The attention factor that a scale asks for: 0.1·m·ln s + 1.</summary>
        public static double AttentionOf(double scale, double m = 1) => scale <= 1 ? 1 : 0.1 * m * Math.Log(scale) + 1;

        public override float Frequency(int index, float power)
        {
            // Two equal ends are a step, not a division by nothing.
            float ramp = Math.Clamp((index - (float)First) / (float)((First == Last ? Last + 0.001 : Last) - First), 0f, 1f);
            float kept = 1 - ramp;
            return 1 / ((float)Factor * power) * (1 - kept) + 1 / power * kept;
        }
    }

    /// <summary>
    /// LongRoPE (arXiv 2402.13753): each frequency is divided by a factor of its own. There are two lists; that for sequences up to the old context is computed, longer sequences, which take the other, are refused.
    /// </summary>
    public sealed record LongRope(IReadOnlyList<double> ShortFactors, int OldContext, double Attention) : RotaryScaling
    {
        public override double AttentionFactor => Attention;

        public override int LongestSequence => OldContext;

        public override float Frequency(int index, float power) => 1 / ((float)ShortFactors[index] * power);
    }

    /// <summary>Dynamic NTK: a base that grows with the sequence once it is longer than the context; up to there nothing changes, and longer ones are refused.</summary>
    public sealed record Dynamic(int Context) : RotaryScaling
    {
        public override int LongestSequence => Context;

        public override float Frequency(int index, float power) => 1 / power;
    }
}
