namespace Diffract.Planted;

/// <summary>The true code of every token: which latents fire, with which magnitude. A token's code is a function of seed and token alone.</summary>
public sealed class TrueCodes
{
    const ulong CodeStream = 102;
    const ulong NoiseStream = 103;
    const int Block = 4096;
    readonly PlantedTruth _dictionary;
    readonly int[][] _latents;
    readonly float[][] _values;
    readonly int[][] _starts;

    /// <summary>Draws the codes of <paramref name="tokens"/> tokens.</summary>
    public TrueCodes(PlantedTruth dictionary, long tokens, CancellationToken stop = default)
    {
        (_dictionary, Tokens) = (dictionary, tokens);
        int blocks = (int)((tokens + Block - 1) / Block);
        (_latents, _values, _starts) = (new int[blocks][], new float[blocks][], new int[blocks][]);
        Parallel.For(0, blocks, new ParallelOptions { CancellationToken = stop, MaxDegreeOfParallelism = Environment.ProcessorCount }, DrawBlock);
    }

    public long Tokens { get; }

    /// <summary>Latents that fire on a token, ascending.</summary>
    public ReadOnlySpan<int> Latents(long token) => Of(_latents, token);

    /// <summary>Their magnitudes.</summary>
    public ReadOnlySpan<float> Values(long token) => Of(_values, token);

    /// <summary>Both models' activations [E] of a token.</summary>
    public void Activations(long token, Span<float> acts_E)
    {
        PlantedSettings settings = _dictionary.Settings;
        DrawStream draws = new((ulong)settings.Seed, NoiseStream, (ulong)token);
        double noise = settings.Noise / Math.Sqrt(settings.Width);
        for (int e = 0; e < acts_E.Length; e++)
        {
            float mean = _dictionary.Mean[e];
            acts_E[e] = (float)(mean + ((mean == 0 ? noise : mean / 50) * draws.Normal()));
        }

        ReadOnlySpan<int> latents = Latents(token);
        ReadOnlySpan<float> values = Values(token);
        for (int i = 0; i < latents.Length; i++)
        {
            ReadOnlySpan<float> direction_E = _dictionary.Direction(latents[i]);
            for (int e = 0; e < acts_E.Length; e++)
            {
                acts_E[e] += values[i] * direction_E[e];
            }
        }
    }

    ReadOnlySpan<T> Of<T>(T[][] blocks, long token)
    {
        int block = (int)(token / Block), at = (int)(token % Block);
        return blocks[block].AsSpan(_starts[block][at].._starts[block][at + 1]);
    }

    void DrawBlock(int block)
    {
        int count = (int)Math.Min(Block, Tokens - ((long)block * Block));
        int[] starts = new int[count + 1];
        List<int> latents = [];
        List<float> values = [];
        List<(int Latent, float Value)> token = [];
        for (int t = 0; t < count; t++)
        {
            token.Clear();
            Draw(((long)block * Block) + t, token);
            token.Sort((a, b) => a.Latent.CompareTo(b.Latent));
            foreach ((int latent, float value) in token)
            {
                latents.Add(latent);
                values.Add(value);
            }

            starts[t + 1] = latents.Count;
        }

        (_latents[block], _values[block], _starts[block]) = ([.. latents], [.. values], starts);
    }

    void Draw(long token, List<(int Latent, float Value)> fired)
    {
        double spread = _dictionary.Settings.Spread;
        DrawStream draws = new((ulong)_dictionary.Settings.Seed, CodeStream, (ulong)token);
        foreach (FiringUnit unit in _dictionary.Units)
        {
            double u = draws.Uniform();
            if (u >= unit.Any)
            {
                continue;
            }

            bool both = u < unit.Both;
            float magnitude = Magnitude(ref draws);
            if (both || u < unit.Both + unit.OnlyFirst)
            {
                fired.Add((unit.First, magnitude));
            }

            if (both || u >= unit.Both + unit.OnlyFirst)
            {
                fired.Add((unit.Second, both && !unit.OneMagnitude ? Magnitude(ref draws) : magnitude));
            }
        }

        float Magnitude(ref DrawStream from) => (float)Math.Exp((spread * from.Normal()) - (spread * spread / 2));
    }
}
