using Diffract.Latents;

namespace Diffract.Evidence;

/// <summary>
/// The example store of spec 6.3: for each latent and quantile of its maximum up to n sequences, drawn by a reservoir, with every activation of the latent in them. A sequence that repeats an earlier one is passed over; a
/// sequence's index is its place among the unlike ones.
/// </summary>
public sealed class QuantileExamples
{
    /// <summary>Upper ends of the bins, as shares of a latent's maximum: (0, .25], (.25, .5], (.5, .75], (.75, .95], (.95, 1].</summary>
    public static IReadOnlyList<float> Quantiles { get; } = [0.25f, 0.5f, 0.75f, 0.95f, 1f];

    readonly int _most;
    readonly float[] _max_L;
    readonly Dictionary<(int Quantile, int Latent), List<(float Value, int Sequence)>> _kept = [];
    readonly Dictionary<(int Quantile, int Latent), int> _seen = [];
    readonly Dictionary<(int Latent, int Sequence), (int[] Positions, float[] Values)> _details = [];
    readonly Dictionary<SequenceKey, int> _indices = [];
    readonly List<int[]> _sequences = [];
    SeededDraws _draws;

    /// <param name="most">n: examples by quantile and latent.</param>
    /// <param name="max_L">Largest scaled activation of each latent.</param>
    /// <param name="seed">Of the reservoir.</param>
    public QuantileExamples(int most, float[] max_L, ulong seed) => (_most, _max_L, _draws) = (most, max_L, new SeededDraws(seed));

    /// <summary>The unlike sequences' tokens, by index.</summary>
    public IReadOnlyList<int[]> Sequences => _sequences;

    /// <summary>Sequences passed over because they repeat an earlier one.</summary>
    public int Repeated { get; private set; }

    /// <summary>Adds a sequence.</summary>
    /// <param name="tokens">Its ids.</param>
    /// <param name="entries">What is active in it, scaled, in any order; values of 0 and below are passed over.</param>
    public void Add(int[] tokens, IEnumerable<TokenEntry> entries)
    {
        SequenceKey key = new(tokens);
        if (_indices.ContainsKey(key))
        {
            Repeated++;
            return;
        }

        int sequence = _sequences.Count;
        _indices.Add(key, sequence);
        _sequences.Add(tokens);
        foreach (IGrouping<int, TokenEntry> of in entries.Where(e => e.Value > 0).GroupBy(e => e.Latent).OrderBy(g => g.Key))
        {
            TokenEntry[] active = [.. of.OrderBy(e => e.Token)];
            float maximum = active.Max(e => e.Value);
            Keep(Quantile(maximum, of.Key), of.Key, maximum, sequence, active);
        }
    }

    /// <summary>Examples of a latent in a quantile's bin, largest first, equal ones by sequence.</summary>
    public IReadOnlyList<(float Value, int Sequence)> Of(int quantile, int latent)
        => _kept.TryGetValue((quantile, latent), out List<(float Value, int Sequence)>? kept) ? [.. kept.OrderByDescending(k => k.Value).ThenBy(k => k.Sequence)] : [];

    /// <summary>Where a latent is active in an example's sequence.</summary>
    public (int[] Positions, float[] Values) Details(int latent, int sequence) => _details[(latent, sequence)];

    int Quantile(float maximum, int latent)
    {
        int quantile = 0;
        while (quantile < Quantiles.Count - 1 && Quantiles[quantile] * _max_L[latent] < maximum)
        {
            quantile++;
        }

        return quantile;
    }

    void Keep(int quantile, int latent, float maximum, int sequence, TokenEntry[] active)
    {
        if (!_kept.TryGetValue((quantile, latent), out List<(float Value, int Sequence)>? kept))
        {
            _kept[(quantile, latent)] = kept = [];
        }

        int seen = _seen[(quantile, latent)] = _seen.GetValueOrDefault((quantile, latent)) + 1;
        if (kept.Count < _most)
        {
            kept.Add((maximum, sequence));
        }
        else
        {
            // Kept with probability n / seen, in place of any: a reservoir.
            int place = _draws.Below(seen);
            if (place >= _most)
            {
                return;
            }

            _details.Remove((latent, kept[place].Sequence));
            kept[place] = (maximum, sequence);
        }

        _details[(latent, sequence)] = ([.. active.Select(e => e.Token)], [.. active.Select(e => e.Value)]);
    }

    /// <summary>Tokens compared one by one.</summary>
    readonly struct SequenceKey(int[] tokens) : IEquatable<SequenceKey>
    {
        readonly int[] _tokens = tokens;

        public bool Equals(SequenceKey other) => _tokens.AsSpan().SequenceEqual(other._tokens);

        public override bool Equals(object? obj) => obj is SequenceKey other && Equals(other);

        public override int GetHashCode()
        {
            HashCode hash = new();
            hash.AddBytes(System.Runtime.InteropServices.MemoryMarshal.AsBytes<int>(_tokens));
            return hash.ToHashCode();
        }
    }
}
