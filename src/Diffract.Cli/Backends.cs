using Diffract.Compute.Kernels;
using Diffract.Compute.Reference;
using Diffract.Cpu;
using Diffract.Cpu.Threads;
using Diffract.Runs;

namespace Diffract.Cli;

/// <summary>Turns <c>--device</c>, <c>--threads</c>, <c>--screening</c> and DIFFRACT_CPU into a backend: the only place that names a concrete one.</summary>
static class Backends
{
    public static IBackend Create(string device, int? threads, string screening = "auto")
    {
        if (device == "reference")
        {
            return new ReferenceBackend();
        }

        if (device is not ("auto" or "cpu"))
        {
            throw DiffractException.Argument($"--device {device} is unknown; wanted auto, cpu or reference");
        }

        string? forced = Environment.GetEnvironmentVariable("DIFFRACT_CPU");
        CpuPath path = CpuPaths.Best;
        if (!string.IsNullOrEmpty(forced))
        {
            path = CpuPaths.Parse(forced) ?? throw DiffractException.Argument($"DIFFRACT_CPU={forced} is unknown; wanted vector, avx2 or avx512");
        }

        if (threads is < 1)
        {
            throw DiffractException.Argument($"--threads {threads} is too small; wanted at least 1");
        }

        ScreeningMode mode = screening switch
        {
            "auto" => ScreeningMode.Auto,
            "on" => ScreeningMode.On,
            "off" => ScreeningMode.Off,
            _ => throw DiffractException.Argument($"--screening {screening} is unknown; wanted auto, on or off"),
        };
        return new CpuBackend(path, WorkerPool.Fit(threads), mode);
    }
}
