using System.Runtime.Intrinsics.X86;

namespace Diffract.Cpu;

/// <summary>Which instruction set the tiles use.</summary>
public enum CpuPath
{
    /// <summary>Portable Vector&lt;T&gt;.</summary>
    Vector,

    /// <summary>256-bit with fused multiply-add.</summary>
    Avx2,

    /// <summary>512-bit. Written over Vector512, so that it also computes (slowly) where the processor lacks it: the contract tests run it everywhere.</summary>
    Avx512,
}

public static class CpuPaths
{
    /// <summary>The best path of this processor.</summary>
    public static CpuPath Best => Avx512F.IsSupported ? CpuPath.Avx512 : Avx2.IsSupported && Fma.IsSupported ? CpuPath.Avx2 : CpuPath.Vector;

    /// <summary>The path named ("vector", "avx2", "avx512"), or null when the name is unknown.</summary>
    public static CpuPath? Parse(string name) => name.ToLowerInvariant() switch
    {
        "vector" => CpuPath.Vector,
        "avx2" => CpuPath.Avx2,
        "avx512" => CpuPath.Avx512,
        _ => null,
    };
}
