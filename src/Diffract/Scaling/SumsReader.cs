namespace Diffract.Scaling;

/// <summary>Fills in sums that were saved; false when there are none, and then writes nothing.</summary>
public delegate bool SumsReader(Span<double> sums);
