namespace Diffract.Evidence;

/// <summary>Mean and population variance of numbers that come one at a time (Welford), in double.</summary>
public struct PositionMoments
{
    double _squares;

    public double Mean { readonly get; private set; }

    public long Count { readonly get; private set; }

    /// <summary>Population variance; 0 for one number, NaN for none.</summary>
    public readonly double Variance => _squares / Count;

    public void Add(double value)
    {
        Count++;
        double delta = value - Mean;
        Mean += delta / Count;
        _squares += delta * (value - Mean);
    }
}
