namespace Diffract.Latents;

/// <summary>
/// Count, mean, maximum and minimum of a value by latent and by bucket of its activation over the latent's maximum (spec 6.6). The bucket is the number of edges strictly below the ratio; activations below the floor are passed
/// over, so that no zero of a masked token enters a minimum. An empty bucket has NaN. Means run in double.
/// </summary>
public sealed class BucketStatistics
{
    readonly float[] _edges;
    readonly float[] _max_L;
    readonly float _floor;
    readonly long[] _count_LB;
    readonly double[] _mean_LB;
    readonly float[] _highest_LB;
    readonly float[] _lowest_LB;

    /// <param name="max_L">Largest activation of each latent.</param>
    /// <param name="edges">Ascending.</param>
    /// <param name="floor">Smallest activation that counts.</param>
    public BucketStatistics(float[] max_L, IReadOnlyList<float> edges, float floor = 1e-6f)
    {
        (_max_L, _edges, _floor) = (max_L, [.. edges], floor);
        _count_LB = new long[max_L.Length * Buckets];
        _mean_LB = new double[max_L.Length * Buckets];
        _highest_LB = new float[max_L.Length * Buckets];
        _lowest_LB = new float[max_L.Length * Buckets];
        Array.Fill(_highest_LB, float.NaN);
        Array.Fill(_lowest_LB, float.NaN);
    }

    /// <summary>Edges + 1.</summary>
    public int Buckets => _edges.Length + 1;

    /// <summary>L.</summary>
    public int Latents => _max_L.Length;

    /// <summary>Adds one value of a token.</summary>
    /// <param name="latent">Active there.</param>
    /// <param name="activation">Its activation, which decides the bucket.</param>
    /// <param name="value">What is counted; often the activation itself.</param>
    public void Add(int latent, float activation, float value)
    {
        if (activation < _floor)
        {
            return;
        }

        float ratio = activation / _max_L[latent];
        int bucket = latent * Buckets;
        for (int e = 0; e < _edges.Length && _edges[e] < ratio; e++)
        {
            bucket++;
        }

        _count_LB[bucket]++;
        _mean_LB[bucket] += (value - _mean_LB[bucket]) / _count_LB[bucket];
        // A NaN loses against any number.
        _highest_LB[bucket] = float.MaxNumber(_highest_LB[bucket], value);
        _lowest_LB[bucket] = float.MinNumber(_lowest_LB[bucket], value);
    }

    public long Count(int latent, int bucket) => _count_LB[latent * Buckets + bucket];

    /// <summary>Over all buckets.</summary>
    public long Count(int latent) => Enumerable.Range(0, Buckets).Sum(b => Count(latent, b));

    public double Mean(int latent, int bucket) => Count(latent, bucket) == 0 ? double.NaN : _mean_LB[latent * Buckets + bucket];

    /// <summary>Over all buckets, each by its count.</summary>
    public double Mean(int latent)
    {
        double sum = 0;
        for (int b = 0; b < Buckets; b++)
        {
            sum += _mean_LB[latent * Buckets + b] * Count(latent, b);
        }

        return sum / Count(latent);
    }

    public double Max(int latent, int bucket) => _highest_LB[latent * Buckets + bucket];

    public double Max(int latent) => Enumerable.Range(0, Buckets).Select(b => _highest_LB[latent * Buckets + b]).Aggregate(float.NaN, float.MaxNumber);

    public double Min(int latent, int bucket) => _lowest_LB[latent * Buckets + bucket];
}
