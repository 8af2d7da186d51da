using System.Globalization;
using System.Runtime.InteropServices;
using Diffract.Bench;
using Diffract.Cpu;
using Diffract.Cpu.Threads;

CultureInfo.CurrentCulture = CultureInfo.InvariantCulture;
CpuPath path = CpuPaths.Parse(Environment.GetEnvironmentVariable("DIFFRACT_CPU") ?? "") ?? CpuPaths.Best;
int threads = WorkerPool.Available;
string[] names = [.. args.Where(a => !a.StartsWith('-'))];
BenchTable table = new();
switch (names.FirstOrDefault())
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
    case "step":
        TrainStepBench.Run(table, path, threads);
        break;
    case "l1":
        L1StepBench.Run(table, path, threads);
        break;
    case "sparse":
        SparseHalfBench.Run(table, path, threads);
        break;
    case "threads":
        ThreadsBench.Run(table, path);
        break;
    case "threads-child":
        ThreadsBench.RunChild(path, int.Parse(names[1], CultureInfo.InvariantCulture), names[2] == "force");
        break;
    case "many":
        ManyBench.Run(table, path, threads);
        break;
    case "encode":
        EncodeBench.Run(table, threads, names[1..]);
        break;
    case "harvest":
        HarvestBench.Run(table, path, threads);
        break;
    case "stream":
        StreamBench.Run(table, path, threads);
        break;
    case "prefill":
        PrefillBench.Run(table, path, threads);
        break;
    case "generate":
        GenerateBench.Run(table, path, threads, names[1..]);
        break;
    case "scaling":
        ScalingBench.Run(table, path, threads);
        break;
    case "read":
        ReadBench.Run(table);
        break;
    case "tokenize":
        TokenizeBench.Run(table, names[1..]);
        break;
    case "templates":
        TemplatesBench.Run(table);
        break;
    case "peer":
        PeerBench.Run(table, path, threads, Environment.GetEnvironmentVariable("PYTHON") ?? "python3");
        break;
    default:
        Console.Error.WriteLine("usage: Diffract.Bench ceiling | matmul | encode | step | l1 | sparse | threads | many | harvest | stream | prefill | generate | scaling | tokenize | read | templates | peer [--save]");
        return 2;
}

if (args.Contains("--save"))
{
    table.Save(names[0], $"{path}, {threads} threads, .NET {Environment.Version}, {RuntimeInformation.OSDescription}");
}

return 0;
