using Diffract.Crosscoders;

namespace Diffract.Planted;

/// <summary>Random numbers one after another, from a seed and a position: SplitMix64. Each token has its own stream, so nothing depends on the order in which tokens are drawn.</summary>
struct DrawStream(ulong seed, ulong stream, ulong position)
{
    ulong _state = Draws.Word(seed, stream, position);
    double _spare;
    bool _hasSpare;

    /// <summary>A number in [0, 1), of 53 random bits.</summary>
    public double Uniform()
    {
        ulong z = _state += 0x9E3779B97F4A7C15;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return ((z ^ (z >> 31)) >> 11) * (1.0 / (1UL << 53));
    }

    /// <summary>A standard normal number (Box and Muller, both of each pair used).</summary>
    public double Normal()
    {
        if (_hasSpare)
        {
            _hasSpare = false;
            return _spare;
        }

        double radius = Math.Sqrt(-2 * Math.Log(1 - Uniform()));
        (double sine, double cosine) = Math.SinCos(2 * Math.PI * Uniform());
        (_spare, _hasSpare) = (radius * sine, true);
        return radius * cosine;
    }
}
