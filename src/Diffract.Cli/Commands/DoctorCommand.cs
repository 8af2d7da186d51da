using System.CommandLine;
using System.Globalization;
using Diffract.Compute.Checks;
using Diffract.Compute.Kernels;
using Diffract.Cpu;
using Diffract.Cpu.Threads;
using Diffract.Runs;
using Diffract.Training;

namespace Diffract.Cli.Commands;

/// <summary><c>diffract doctor</c>: what the machine has, what it can do, and whether the kernels compute right on it.</summary>
static class DoctorCommand
{
    public static Command Create()
    {
        Command command = new("doctor", """
            Says what this machine offers and whether the kernels compute right on it: cores, instruction sets, memory, the path chosen and why, the most that registers and memory give (measured in about a
            second), and every operation against the oracle on a small input. Exit code 1 when one is off by more than its tolerance. DIFFRACT_CPU=vector|avx2|avx512 examines another path.
            """);
        new CommonOptions().Run(command, (parse, backend, progress, stop) =>
        {
            Describe(backend, progress);
            Measure(backend, progress);
            Check(backend, progress, stop);
        });
        return command;
    }

    static void Describe(IBackend backend, IProgressSink progress)
    {
        progress.Line($"processor: {Processor.Name}");
        progress.Line(string.Create(
            CultureInfo.InvariantCulture,
            $"cores: {Machine.Cores?.ToString(CultureInfo.InvariantCulture) ?? "?"} in the machine, {Machine.Affinity?.ToString(CultureInfo.InvariantCulture) ?? "?"} in the affinity mask, {(Machine.Quota is { } quota ? $"a container quota of {quota:0.##}" : "no container quota")}; {WorkerPool.Available} used by default"));
        progress.Line("instruction sets: " + string.Join(", ", Machine.InstructionSets.Select(i => i.There ? i.Name : $"no {i.Name}")));
        progress.Line($"memory: {TrainingPlan.Size(Machine.Memory)} for this process{(Machine.FreeMemory is { } free ? $", {TrainingPlan.Size(free)} of the machine's free now" : "")}");
        string? forced = Environment.GetEnvironmentVariable("DIFFRACT_CPU");
        string why = backend is not CpuBackend cpu ? "asked for with --device"
            : !string.IsNullOrEmpty(forced) ? $"forced by DIFFRACT_CPU; the best here would be {CpuPaths.Best.ToString().ToLowerInvariant()}"
            : cpu.Path switch
            {
                CpuPath.Avx512 => "the best one: the processor has AVX-512F",
                CpuPath.Avx2 => "the best one here: AVX2 and FMA, but no AVX-512F",
                _ => "the only one here: neither AVX-512F nor AVX2 with FMA",
            };
        progress.Line($"path: {backend.KernelPath}, {why}");
    }

    static void Measure(IBackend backend, IProgressSink progress)
    {
        if (backend is not CpuBackend cpu)
        {
            return;
        }

        using WorkerPool pool = new(cpu.Threads);
        double flops = FmaCeiling.Measure(pool, cpu.Path), bytes = CopyCeiling.Measure(pool);
        progress.Line(string.Create(CultureInfo.InvariantCulture, $"ceilings: {flops:F0} GFLOP/s multiply-add on registers, {bytes:F1} GB/s copied (read and written), {cpu.Threads} threads"));
    }

    static void Check(IBackend backend, IProgressSink progress, CancellationToken stop)
    {
        progress.Line("kernels against the oracle, max|a-b|/max|b|:");
        int all = 0, failed = 0;
        foreach (KernelCheck check in KernelChecks.Run(backend))
        {
            stop.ThrowIfCancellationRequested();
            (all, failed) = (all + 1, failed + (check.Passed ? 0 : 1));
            progress.Line(string.Create(CultureInfo.InvariantCulture, $"  {(check.Passed ? "ok  " : "FAIL")}  {check.Set,-11}  {check.Op,-22}  {check.Error,8:0.0e+00}  of {check.Allowed:0.0e+00}"));
        }

        if (failed > 0)
        {
            throw new DiffractException($"{failed} of {all} kernels are off on the path {backend.KernelPath}; force another one with DIFFRACT_CPU=vector, and report this output");
        }

        progress.Line($"all {all} kernels agree");
    }
}
