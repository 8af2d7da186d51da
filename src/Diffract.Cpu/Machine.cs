using System.Diagnostics;
using System.Globalization;
using System.Numerics;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics.Arm;
using System.Runtime.Intrinsics.X86;

namespace Diffract.Cpu;

/// <summary>What this process may use of the machine, as far as the system tells.</summary>
public static class Machine
{
    /// <summary>Processors of the machine; null where the system does not list them.</summary>
    public static int? Cores { get; } = Lines("/proc/cpuinfo").Count(l => l.StartsWith("processor", StringComparison.Ordinal)) is > 0 and int n ? n : null;

    /// <summary>Processors in this process's affinity mask.</summary>
    public static int? Affinity
    {
        get
        {
            if (!OperatingSystem.IsLinux() && !OperatingSystem.IsWindows())
            {
                return null;
            }

            using Process process = Process.GetCurrentProcess();
            return BitOperations.PopCount((ulong)process.ProcessorAffinity);
        }
    }

    /// <summary>Processors that the container's quota comes to; null without one.</summary>
    public static double? Quota
    {
        get
        {
            string[] max = (Lines("/sys/fs/cgroup/cpu.max").FirstOrDefault() ?? "").Split(' ');
            return max.Length == 2 && double.TryParse(max[0], CultureInfo.InvariantCulture, out double quota) && double.TryParse(max[1], CultureInfo.InvariantCulture, out double period) ? quota / period : null;
        }
    }

    /// <summary>Bytes that this process may take: of the machine, or of the container where it has less.</summary>
    public static long Memory => GC.GetGCMemoryInfo().TotalAvailableMemoryBytes;

    /// <summary>Bytes of it that are free now; null where the system does not say.</summary>
    public static long? FreeMemory
        => Lines("/proc/meminfo").FirstOrDefault(l => l.StartsWith("MemAvailable:", StringComparison.Ordinal)) is { } line
            && long.TryParse(line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1], CultureInfo.InvariantCulture, out long kibibytes) ? 1024 * kibibytes : null;

    /// <summary>Instruction sets that the kernels ask about, each with whether this processor has it.</summary>
    public static IReadOnlyList<(string Name, bool There)> InstructionSets { get; } = RuntimeInformation.ProcessArchitecture is Architecture.X64 or Architecture.X86
        ?
        [
            ("AVX2", Avx2.IsSupported), ("FMA", Fma.IsSupported), ("AVX-512F", Avx512F.IsSupported), ("AVX-512BW", Avx512BW.IsSupported),
            ("AVX-VNNI", AvxVnni.IsSupported),
        ]
        : [("AdvSimd", AdvSimd.IsSupported), ("Dp", Dp.IsSupported)];

    static string[] Lines(string path)
    {
        try
        {
            return File.Exists(path) ? File.ReadAllLines(path) : [];
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return [];
        }
    }
}
