using Diffract.Compute.Kernels;
using Diffract.Compute.Reference;
using Diffract.Cpu;

namespace Diffract.Kernels.Tests;

/// <summary>
/// The backends that every contract test runs on: the oracle, and each CPU path with one and with three threads. All paths compute on every machine;
/// 512-bit vectors are emulated where the processor lacks them.
/// </summary>
public static class BackendsUnderTest
{
    public static TheoryData<string> Names => new("reference", "vector-1", "vector-3", "avx2-1", "avx2-3", "avx512-1", "avx512-3");

    public static TheoryData<string> CpuNames => new("vector-1", "vector-3", "avx2-1", "avx2-3", "avx512-1", "avx512-3");

    public static IBackend Create(string name)
    {
        if (name == "reference")
        {
            return new ReferenceBackend();
        }

        string[] parts = name.Split('-');
        CpuPath path = CpuPaths.Parse(parts[0])!.Value;
        Assert.SkipWhen(path == CpuPath.Avx2 && !System.Runtime.Intrinsics.X86.Fma.IsSupported, "this processor has no AVX2 with FMA");
        return new CpuBackend(path, int.Parse(parts[1], System.Globalization.CultureInfo.InvariantCulture));
    }
}
