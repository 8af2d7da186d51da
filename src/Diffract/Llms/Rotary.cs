namespace Diffract.Llms;

/// <summary>Rotary positions of a block: which part of a head turns, and how fast.</summary>
/// <param name="Width">R: elements of a head that turn; the first ones.</param>
/// <param name="Theta">Base of the frequencies.</param>
/// <param name="Scaling">How frequencies are stretched for longer contexts, or null.</param>
public sealed record Rotary(int Width, double Theta, RotaryScaling? Scaling = null)
{
    /// <summary>
    /// R/2 frequencies θ^(-2i/R), scaled, with the roundings to float32 of transformers: of the exponent, of the power, of the quotient, and of each step of the scaling.
    /// </summary>
    public float[] Frequencies()
    {
        float[] result = new float[Width / 2];
        for (int i = 0; i < result.Length; i++)
        {
            float power = (float)Math.Pow((float)Theta, 2f * i / Width);
            result[i] = Scaling?.Frequency(i, power) ?? 1 / power;
        }

        return result;
    }
}
