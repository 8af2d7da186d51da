using System.Diagnostics;
using Diffract.Activations;
using Diffract.Compute.Kernels;
using Diffract.Runs;
using Diffract.Tests.Activations;

namespace Diffract.Tests.Cli;

/// <summary>Tasks as an array runs them: processes of the program that are killed and run again.</summary>
public sealed class TaskProcessesTests : IDisposable
{
    const int Layer = 0, ShardTokens = 400, Tasks = 3;
    readonly TemporaryFolder _folder = new();
    readonly RunFolder _run;

    public TaskProcessesTests() => _run = RunFolder.Create(Path.Combine(_folder.Path, "run"));

    string Store => _run.Activations(Layer);

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Processes_that_are_killed_between_computing_and_publishing_and_at_any_other_moment_make_the_bytes_of_one_process()
    {
        HarvestRuns.Tokenize(_run, Pairs.Base, Pairs.Chat, tokens: 9000, seed: 0);
        Random random = new(11);
        int killed = 0;
        for (int round = 0; !File.Exists(Path.Combine(Store, StageManifest.FileName)); round++)
        {
            Assert.True(round < 6, "the tasks do not come to an end");
            Process[] tasks = [.. Enumerable.Range(0, Tasks).Select(Start)];
            if (round == 0)
            {
                // Each at the first unit that lies whole in its folder, or is about to.
                Parallel.ForEach(tasks, task => KillWhen(task, () => Directory.Exists(Path.Combine(Store, "units")) && Directory.GetDirectories(Path.Combine(Store, "units"), $"*-{task.Id}-*").Length > 0));
            }
            else if (round == 1)
            {
                TimeSpan[] moments = [.. tasks.Select(_ => TimeSpan.FromSeconds(0.3 + random.NextDouble()))];
                Stopwatch clock = Stopwatch.StartNew();
                Parallel.For(0, Tasks, i => KillWhen(tasks[i], () => clock.Elapsed > moments[i]));
            }

            foreach (Process task in tasks)
            {
                string error = task.StandardError.ReadToEnd();
                task.WaitForExit();
                killed += task.ExitCode == 137 ? 1 : 0;
                Assert.True(task.ExitCode is 0 or 137, error);
                task.Dispose();
            }
        }

        Assert.True(killed > 0);
        RunFolder whole = RunFolder.Create(Path.Combine(_folder.Path, "whole"));
        Directory.CreateDirectory(whole.Tokens);
        Array.ForEach(Directory.GetFiles(_run.Tokens), f => File.Copy(f, Path.Combine(whole.Tokens, Path.GetFileName(f))));
        using (IBackend backend = HarvestRuns.Backend())
        {
            HarvestStage.Run(new StageContext(whole, backend, new SilentProgress()), new HarvestSettings { Layer = Layer, ShardTokens = ShardTokens });
        }

        string[] files = [.. Directory.GetFiles(whole.Activations(Layer), "s*.safetensors").Select(f => Path.GetFileName(f)!).Order(StringComparer.Ordinal)];
        Assert.True(files.Length > 20);
        Assert.All(files, f => Assert.Equal(File.ReadAllBytes(Path.Combine(whole.Activations(Layer), f)), File.ReadAllBytes(Path.Combine(Store, f))));
        Assert.Equal(StageManifest.TryLoad(whole.Activations(Layer))!.Fingerprint(), StageManifest.TryLoad(Store)!.Fingerprint());
    }

    [Fact]
    public void A_time_limit_s_signal_stops_a_task_cleanly_and_keeps_what_it_has_published()
    {
        // So many that it is not done before the signal comes.
        HarvestRuns.Tokenize(_run, Pairs.Base, Pairs.Chat, tokens: 80_000, seed: 0);
        using Process task = Start(1);
        string units = Path.Combine(Store, "units");
        while (!task.HasExited && !File.Exists(Path.Combine(units, "00001.json")))
        {
            Thread.Sleep(1);
        }

        using (Process signal = Process.Start("kill", ["-TERM", $"{task.Id}"]))
        {
            signal.WaitForExit();
        }

        string error = task.StandardError.ReadToEnd();
        task.WaitForExit();
        Assert.Equal(130, task.ExitCode);
        Assert.Contains("diffract: stopped; call the same command again to go on", error, StringComparison.Ordinal);
        Assert.Empty(Directory.GetDirectories(units));
        int published = Directory.GetFiles(units, "*.json").Length;
        Assert.InRange(published, 1, 60);
        (int code, _, string refused) = CommandLine.Run(_folder.Path, "train", "run", "--layer", "0", "--kind", "l1");
        Assert.Equal(1, code);
        Assert.Contains("units are missing (0, 2, ", refused, StringComparison.Ordinal);
    }

    Process Start(int task)
    {
        ProcessStartInfo start = new("dotnet", [Path.Combine(AppContext.BaseDirectory, "Diffract.Cli.dll"), "harvest", "run", "--layer", $"{Layer}", "--shard-tokens", $"{ShardTokens}", "--threads", "1", "--task", $"{task}", "--of", $"{Tasks}"])
        {
            WorkingDirectory = _folder.Path,
            RedirectStandardError = true,
            RedirectStandardOutput = true,
        };
        Process process = Process.Start(start)!;
        process.OutputDataReceived += (_, _) => { };
        process.BeginOutputReadLine();
        return process;
    }

    static void KillWhen(Process task, Func<bool> now)
    {
        while (!task.HasExited && !now())
        {
            Thread.Sleep(1);
        }

        task.Kill();
    }
}
