namespace Diffract.Compute.Checks;

/// <summary>How far one operation of a backend is from the oracle.</summary>
/// <param name="Set">crosscoder, transformer or scaling.</param>
/// <param name="Op">Name of the operation.</param>
/// <param name="Error">The largest max|a-b|/max|b| of what it writes.</param>
/// <param name="Allowed">Its line of <see cref="Kernels.Tolerance"/>.</param>
public sealed record KernelCheck(string Set, string Op, double Error, double Allowed)
{
    /// <summary>False for an error that is no number, too.</summary>
    public bool Passed => Error <= Allowed;
}
