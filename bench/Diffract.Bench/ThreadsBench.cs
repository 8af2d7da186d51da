using System.Diagnostics;
using System.Globalization;
using Diffract.Cpu;
using Diffract.Cpu.Threads;

namespace Diffract.Bench;

/// <summary>
/// The same training steps on different numbers of threads, each in a process of its own and in turns: as many as there are processors, one, more than there are (which the program does not start,
/// and here is made to), and under an affinity mask of one processor.
/// </summary>
static class ThreadsBench
{
    const int Rounds = 3;

    public static void Run(BenchTable table, CpuPath path)
    {
        int all = WorkerPool.Available;
        (string Name, int Asked, bool Force, bool OneProcessor)[] runs =
        [
            ("all processors", 1, false, false), ("all processors", all, false, false), ("all processors", 4 * all, false, false), ("all processors, all started", 4 * all, true, false),
            ("mask of one", 1, false, true), ("mask of one", all, false, true), ("mask of one, all started", all, true, true),
        ];
        double[][] ms = [.. runs.Select(_ => new double[Rounds])];
        for (int round = 0; round < Rounds; round++)
        {
            for (int i = 0; i < runs.Length; i++)
            {
                ms[i][round] = Child(runs[i].Asked, runs[i].Force, runs[i].OneProcessor);
            }
        }

        table.Note($"BatchTopK, float32, E = 512, L = 2048, B = 1024, k = 32, {path} path; median of {Rounds} processes in turns, each the median of its steps\n");
        table.Header("processors", "--threads", "started", "ms", $"to --threads {all}", "to one thread under the mask");
        double wide = Median(ms[1]), narrow = Median(ms[4]);
        for (int i = 0; i < runs.Length; i++)
        {
            int there = runs[i].OneProcessor ? 1 : all;
            double median = Median(ms[i]);
            table.Row(
                runs[i].Name, runs[i].Asked, runs[i].Force ? runs[i].Asked : Math.Min(runs[i].Asked, there), median,
                runs[i].OneProcessor ? "" : $"{median / wide:F2}", runs[i].OneProcessor ? $"{median / narrow:F2}" : "");
        }
    }

    /// <summary>What a child process does: prints the median of its steps in milliseconds.</summary>
    public static void RunChild(CpuPath path, int asked, bool force)
    {
        using TrainedSteps steps = new("", path, force ? asked : WorkerPool.Fit(asked), ScreeningMode.Off, width: 256, latents: 2048);
        steps.Train(40);
        steps.Measure(30);
        Console.WriteLine((steps.Median * 1e3).ToString(CultureInfo.InvariantCulture));
    }

    static double Child(int asked, bool force, bool oneProcessor)
    {
        string[] command = [Environment.ProcessPath!, "threads-child", asked.ToString(CultureInfo.InvariantCulture), force ? "force" : "fit"];
        command = oneProcessor ? ["taskset", "-c", "0", .. command] : command;
        using Process child = Process.Start(new ProcessStartInfo(command[0], command[1..]) { RedirectStandardOutput = true })!;
        string line = child.StandardOutput.ReadToEnd();
        child.WaitForExit();
        return double.Parse(line, CultureInfo.InvariantCulture);
    }

    static double Median(double[] values) => values.Order().ElementAt(values.Length / 2);
}
