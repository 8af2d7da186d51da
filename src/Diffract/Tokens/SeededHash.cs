namespace Diffract.Tokens;

/// <summary>Well-mixed 64-bit hashes of a few integers (SplitMix64's finaliser, chained): every order and split that a seed decides comes from here, so it is the same on every machine.</summary>
public static class SeededHash
{
    public static ulong Of(ulong a, ulong b) => Mix(Mix(a + 0x9E3779B97F4A7C15) ^ (b + 0xD1B54A32D192ED03));

    public static ulong Of(ulong a, ulong b, ulong c) => Mix(Of(a, b) ^ (c + 0x8CB92BA72F3D8DD7));

    public static ulong Of(ulong a, ulong b, ulong c, ulong d) => Mix(Of(a, b, c) ^ (d + 0xABC98388FB8FAC03));

    /// <summary>A hash as a number in [0, 1).</summary>
    public static double Unit(ulong hash) => (hash >> 11) * (1.0 / (1UL << 53));

    static ulong Mix(ulong z)
    {
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return z ^ (z >> 31);
    }
}
