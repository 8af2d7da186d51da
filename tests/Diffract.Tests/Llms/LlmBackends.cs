using Diffract.Compute.Kernels;
using Diffract.Compute.Reference;
using Diffract.Cpu;

namespace Diffract.Tests.Llms;

/// <summary>The backends that the golden models run on: the oracle and each CPU path.</summary>
public static class LlmBackends
{
    public static string[] Names => ["reference", "vector", "avx2", "avx512"];

    public static IBackend Create(string name)
    {
        if (name == "reference")
        {
            return new ReferenceBackend();
        }

        CpuPath path = CpuPaths.Parse(name)!.Value;
        Assert.SkipWhen(path == CpuPath.Avx2 && !System.Runtime.Intrinsics.X86.Fma.IsSupported, "this processor has no AVX2 with FMA");
        return new CpuBackend(path, 2);
    }
}
