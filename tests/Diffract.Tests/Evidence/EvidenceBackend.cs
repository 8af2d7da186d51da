using Diffract.Compute.Kernels;
using Diffract.Cpu;

namespace Diffract.Tests.Evidence;

/// <summary>Where the evidence tests compute: the path that DIFFRACT_CPU forces, else the best one. The oracle gives the same numbers and takes a minute.</summary>
static class EvidenceBackend
{
    public static IBackend Create() => new CpuBackend(CpuPaths.Parse(Environment.GetEnvironmentVariable("DIFFRACT_CPU") ?? "") ?? CpuPaths.Best, 2);
}
