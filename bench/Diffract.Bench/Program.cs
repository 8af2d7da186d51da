using System.Globalization;
using Diffract.Bench;
using Diffract.Cpu;
using Diffract.Cpu.Threads;

CultureInfo.CurrentCulture = CultureInfo.InvariantCulture;
CpuPath path = CpuPaths.Parse(Environment.GetEnvironmentVariable("DIFFRACT_CPU") ?? "") ?? CpuPaths.Best;
int threads = WorkerPool.Available;
BenchTable table = new();
switch (args.FirstOrDefault())
{
    case "ceiling":
        using (WorkerPool pool = new(threads))
        {
            table.Note($"FMA ceiling {FmaCeiling.Measure(pool, path):F1} GFLOP/s ({path}, {threads} threads)");
        }

        break;
    case "matmul":
        MatmulBench.Run(table, path, threads);
        break;
    default:
        Console.Error.WriteLine("usage: Diffract.Bench ceiling | matmul [--save]");
        return 2;
}

return 0;
