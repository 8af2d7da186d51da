namespace Diffract.Crosscoders;

/// <summary>Random numbers as a function of a seed and a position (SplitMix64 over the mixed words): no state, so no order and no threads in the result.</summary>
public static class Draws
{
    /// <summary>64 random bits for a seed and a position of up to three coordinates.</summary>
    public static ulong Word(ulong seed, ulong a, ulong b, ulong c = 0) => Mix(Mix(Mix(Mix(seed) ^ a) ^ b) ^ c);

    /// <summary>A number in [0, 1), of 53 random bits.</summary>
    public static double Uniform(ulong seed, ulong a, ulong b, ulong c = 0) => (Word(seed, a, b, c) >> 11) * (1.0 / (1UL << 53));

    static ulong Mix(ulong z)
    {
        z += 0x9E3779B97F4A7C15;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return z ^ (z >> 31);
    }
}
