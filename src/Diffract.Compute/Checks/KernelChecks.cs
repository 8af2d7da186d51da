using Diffract.Compute.Kernels;
using Diffract.Compute.Reference;

namespace Diffract.Compute.Checks;

/// <summary>
/// Every operation of a backend on one small input of odd sizes, against the oracle. The contract tests look at many more shapes; this takes a second, so that a user can tell whether the
/// kernels compute right on his machine.
/// </summary>
public static class KernelChecks
{
    /// <summary>One check an operation, in the order of the interfaces.</summary>
    public static IEnumerable<KernelCheck> Run(IBackend backend)
    {
        using ReferenceBackend oracle = new();
        foreach (OpCheck check in (IEnumerable<OpCheck>)[.. CrosscoderChecks.All, .. TransformerChecks.All, .. ScalingChecks.All])
        {
            yield return new KernelCheck(check.Set, check.Op, Error(check.Compute(oracle), check.Compute(backend)), check.Allowed);
        }
    }

    /// <summary>The worst of all that is written; each in units of its own largest element.</summary>
    static double Error(List<double[]> wanted, List<double[]> got)
    {
        double worst = 0;
        for (int i = 0; i < wanted.Count; i++)
        {
            if (wanted[i].Length != got[i].Length)
            {
                return double.PositiveInfinity;
            }

            double largest = wanted[i].Select(Math.Abs).DefaultIfEmpty(0).Max();
            for (int n = 0; n < wanted[i].Length; n++)
            {
                double error = Math.Abs(wanted[i][n] - got[i][n]) / Math.Max(largest, 1e-30);
                if (double.IsNaN(error))
                {
                    return double.PositiveInfinity;
                }

                worst = Math.Max(worst, error);
            }
        }

        return worst;
    }
}

/// <summary>One operation: what it writes on a fixed input.</summary>
/// <param name="Set">crosscoder, transformer or scaling.</param>
/// <param name="Op">Name of the operation.</param>
/// <param name="Allowed">Allowed error.</param>
/// <param name="Compute">Makes the input anew and returns all outputs.</param>
sealed record OpCheck(string Set, string Op, double Allowed, Func<IBackend, List<double[]>> Compute);
