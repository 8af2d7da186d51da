namespace Diffract.Latents;

/// <summary>
/// How often two latents fire together (spec 4.4): tokens by bucket of the one and of the other, activations divided by a reference maximum. A value's bucket is the number of edges 1e-6, 0.1, 0.4, 0.7 strictly below it.
/// </summary>
public sealed class TwinHistogram
{
    /// <summary>Edges of the five buckets.</summary>
    public static IReadOnlyList<float> Edges { get; } = [1e-6f, 0.1f, 0.4f, 0.7f];

    /// <summary>Buckets of a latent.</summary>
    public const int Buckets = 5;

    /// <summary>A reference maximum is at least this.</summary>
    const float SmallestMaximum = 1e-6f;

    readonly long[] _counts = new long[Buckets * Buckets];

    /// <summary>[5, 5], row after row: the first latent's bucket by the second's.</summary>
    public IReadOnlyList<long> Counts => _counts;

    /// <summary>Adds tokens of which only the active ones are given, in token order.</summary>
    /// <param name="tokens">All of them.</param>
    /// <param name="first">(token, scaled activation) of the first latent.</param>
    /// <param name="second">Of the second.</param>
    /// <param name="firstMaximum">Reference of the first.</param>
    /// <param name="secondMaximum">Of the second.</param>
    public void Add(long tokens, ReadOnlySpan<(int Token, float Value)> first, ReadOnlySpan<(int Token, float Value)> second, float firstMaximum, float secondMaximum)
    {
        (firstMaximum, secondMaximum) = (Math.Max(firstMaximum, SmallestMaximum), Math.Max(secondMaximum, SmallestMaximum));
        int i = 0, j = 0;
        long seen = 0;
        while (i < first.Length || j < second.Length)
        {
            int token = Math.Min(i < first.Length ? first[i].Token : int.MaxValue, j < second.Length ? second[j].Token : int.MaxValue);
            int a = i < first.Length && first[i].Token == token ? Bucket(first[i++].Value / firstMaximum) : 0;
            int b = j < second.Length && second[j].Token == token ? Bucket(second[j++].Value / secondMaximum) : 0;
            _counts[a * Buckets + b]++;
            seen++;
        }

        _counts[0] += tokens - seen;
    }

    /// <summary>
    /// (only the first high + only the second high) / (either high): high is above 0.4, only means that the other is at most 0.1. 0 where they always fire together; near 0 too where neither is ever high.
    /// </summary>
    public double Divergence()
    {
        double highA = 0, highB = 0, both = 0, only = 0;
        for (int a = 0; a < Buckets; a++)
        {
            for (int b = 0; b < Buckets; b++)
            {
                long count = _counts[a * Buckets + b];
                highA += a >= 3 ? count : 0;
                highB += b >= 3 ? count : 0;
                both += a >= 3 && b >= 3 ? count : 0;
                only += (a >= 3 && b < 2) || (a < 2 && b >= 3) ? count : 0;
            }
        }

        return only / (highA + highB - both + 1e-10);
    }

    static int Bucket(float value)
    {
        int bucket = 0;
        while (bucket < Edges.Count && Edges[bucket] < value)
        {
            bucket++;
        }

        return bucket;
    }
}
