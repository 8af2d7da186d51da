namespace Diffract.Evidence;

/// <summary>A number with its interval.</summary>
/// <param name="Value">The estimate from all data; NaN when there is none.</param>
/// <param name="Low">Lower end of the 95% interval; NaN when it cannot be told.</param>
/// <param name="High">Upper end.</param>
/// <param name="N">What was counted: positions, conversations or pairs, as the record that holds it says.</param>
public sealed record Estimate(double Value, double Low, double High, long N);
