namespace Diffract.Latents;

/// <summary>
/// numpy's legacy generator, <c>numpy.random.RandomState(seed)</c>: MT19937 with masked rejection, so that the same latents are drawn as in published runs (pandas draws samples by it).
/// </summary>
public sealed class NumpyRandom
{
    const int Size = 624, Middle = 397;

    readonly uint[] _state = new uint[Size];
    int _next = Size;

    /// <param name="seed">From 0 to 2³² - 1.</param>
    public NumpyRandom(uint seed)
    {
        for (uint i = 0; i < Size; i++)
        {
            _state[i] = seed;
            seed = 1812433253u * (seed ^ (seed >> 30)) + i + 1;
        }
    }

    /// <summary>32 random bits.</summary>
    public uint Next()
    {
        if (_next == Size)
        {
            Twist();
        }

        uint y = _state[_next++];
        y ^= y >> 11;
        y ^= (y << 7) & 0x9d2c5680;
        y ^= (y << 15) & 0xefc60000;
        return y ^ (y >> 18);
    }

    /// <summary>Uniform in 0 .. <paramref name="most"/>, by rejection under the next power of two.</summary>
    public int UpTo(int most)
    {
        if (most == 0)
        {
            return 0;
        }

        uint mask = (uint)most;
        for (int shift = 1; shift < 32; shift *= 2)
        {
            mask |= mask >> shift;
        }

        uint value;
        while ((value = Next() & mask) > most)
        {
        }

        return (int)value;
    }

    /// <summary><c>permutation(n)</c>: 0 .. n - 1 shuffled from the end.</summary>
    public int[] Permutation(int n)
    {
        int[] order = [.. Enumerable.Range(0, n)];
        for (int i = n - 1; i > 0; i--)
        {
            int j = UpTo(i);
            (order[i], order[j]) = (order[j], order[i]);
        }

        return order;
    }

    /// <summary><c>choice(n, size, replace=False)</c>, which is what pandas' <c>sample(size, random_state=seed)</c> takes: the first of a permutation.</summary>
    public int[] Choice(int n, int size) => Permutation(n)[..size];

    void Twist()
    {
        for (int i = 0; i < Size; i++)
        {
            uint y = (_state[i] & 0x80000000) | (_state[(i + 1) % Size] & 0x7fffffff);
            _state[i] = _state[(i + Middle) % Size] ^ (y >> 1) ^ ((y & 1) != 0 ? 0x9908b0dfu : 0);
        }

        _next = 0;
    }
}
