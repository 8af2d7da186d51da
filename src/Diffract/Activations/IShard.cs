namespace Diffract.Activations;

/// <summary>Consecutive rows of a store, all models end to end.</summary>
interface IShard : IDisposable
{
    /// <summary>Rows before it.</summary>
    long FirstRow { get; }

    int Rows { get; }

    /// <summary>Its row <paramref name="row"/> as float32; allocates nothing.</summary>
    void Read(int row, Span<float> target);
}
