using System.Diagnostics;
using System.Text.Json.Nodes;
using Diffract.Compute.Kernels;
using Diffract.Crosscoders;
using Diffract.Formats;
using Diffract.Kernels.Tests;
using Diffract.Runs;
using Diffract.Training;

namespace Diffract.Tests.Training;

/// <summary>What a training that was ended in any way leaves behind, and how it goes on.</summary>
public sealed class ResumeTests : IDisposable
{
    const int Steps = 240;
    const int Every = 8;
    readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    /// <summary>The program itself, killed at moments that nothing in it chooses: between two steps, within one, or while a checkpoint is written.</summary>
    [Theory]
    [InlineData("batchtopk")]
    [InlineData("l1")]
    public void Killed_three_times_a_training_ends_with_the_bits_of_an_undisturbed_one(string kind)
    {
        string x = Activations(Steps, 256, 24);
        string[] arguments = [
            "train", "--activations", x, "--kind", kind, "--latents", "512", "--k", "6", "--mu", "0.02", "--init-norm", "1", "--warmup", "10", "--dead-after", "2000", "--threshold-from", "30",
            "--checkpoint-every", $"{Every}", "--out"];
        string whole = Path.Combine(_folder.Path, "whole"), killed = Path.Combine(_folder.Path, "killed");
        Assert.Equal(0, Cli.CommandLine.Run(_folder.Path, [.. arguments, whole]).Code);
        Random random = new(7);
        for (int kill = 1; kill <= 3; kill++)
        {
            long before = LastCheckpoint(killed);
            using Process process = Start([.. arguments, killed]);
            while (!process.HasExited && LastCheckpoint(killed) < before + Every)
            {
                Thread.Sleep(1);
            }

            Thread.Sleep(random.Next(60));
            process.Kill();
            process.WaitForExit();
            Assert.False(File.Exists(Path.Combine(killed, "model.safetensors")), $"kill {kill} came after the end");
        }

        (int code, string output, string error) = Cli.CommandLine.Run(_folder.Path, [.. arguments, killed]);
        Assert.True(code == 0, error);
        Assert.Contains("going on at step", output, StringComparison.Ordinal);
        foreach (string name in (string[])["model.safetensors", "optimizer.safetensors", "config.json", "log.jsonl", $"checkpoints/{Steps - Every}/state.json"])
        {
            Assert.Equal(File.ReadAllBytes(Path.Combine(whole, name)), File.ReadAllBytes(Path.Combine(killed, name)));
        }
    }

    [Fact]
    public void Another_kernel_path_is_refused_unless_it_is_allowed()
    {
        LooseTrainSettings settings = Settings(20, Every);
        RunUntil(settings, "avx2-1", 10);
        using IBackend vector = BackendsUnderTest.Create("vector-1");
        string message = Assert.Throws<DiffractException>(() => LooseTraining.Run(settings, vector, new SilentProgress(), CancellationToken.None)).Message;
        Assert.Contains("kernel path avx2, this call is on vector", message, StringComparison.Ordinal);
        Assert.Contains("DIFFRACT_CPU=avx2, or with --allow-other-path", message, StringComparison.Ordinal);
        using IBackend reference = BackendsUnderTest.Create("reference");
        Assert.Throws<DiffractException>(() => LooseTraining.Run(settings, reference, new SilentProgress(), CancellationToken.None));

        ListProgress progress = new();
        LooseTraining.Run(settings with { Options = settings.Options with { AllowOtherPath = true } }, vector, progress, CancellationToken.None);
        Assert.Contains(progress.Warnings, w => w.Contains("this call is on vector", StringComparison.Ordinal));
        string state = File.ReadAllText(Path.Combine(settings.Output, "checkpoints", "16", "state.json"));
        Assert.Equal(["avx2", "vector"], JsonNode.Parse(state)!["kernelPaths"]!.AsArray().Select(p => (string)p!));
    }

    /// <summary>The number of threads is not part of it: the bits are the same.</summary>
    [Fact]
    public void Another_number_of_threads_goes_on()
    {
        LooseTrainSettings settings = Settings(20, Every);
        RunUntil(settings, "avx2-1", 10);
        using IBackend backend = BackendsUnderTest.Create("avx2-3");
        ListProgress progress = new();
        LooseTraining.Run(settings, backend, progress, CancellationToken.None);
        Assert.Contains(progress.Lines, l => l.Contains("going on at step 10", StringComparison.Ordinal));
    }

    [Fact]
    public void Another_configuration_is_refused_with_every_field_that_differs()
    {
        LooseTrainSettings settings = Settings(20, Every);
        RunUntil(settings, "reference", 10);
        using IBackend backend = BackendsUnderTest.Create("reference");
        LooseTrainSettings other = settings with { Options = settings.Options with { LearningRate = 0.5, K = 3, Seed = 5 } };
        string message = Assert.Throws<DiffractException>(() => LooseTraining.Run(other, backend, new SilentProgress(), CancellationToken.None)).Message;
        Assert.Contains("k was 2, now 3; learningRate was 0.01, now 0.5; seed was 42, now 5", message, StringComparison.Ordinal);
        Assert.True(File.Exists(Path.Combine(settings.Output, "checkpoints", "10", "state.json")), "what was there is gone");
    }

    [Theory]
    [InlineData("model.safetensors")]
    [InlineData("optimizer.safetensors")]
    [InlineData("state.json")]
    public void Two_checkpoints_stay_and_a_damaged_last_one_falls_back_to_the_one_before(string file)
    {
        using IBackend backend = BackendsUnderTest.Create("reference");
        CrosscoderConfig shape = new(CrosscoderKind.BatchTopK, 8, [3, 3]) { K = 2 };
        TrainingConfig config = new() { Crosscoder = shape, Steps = 20, Batch = 4 };
        using Crosscoder crosscoder = new(shape, backend);
        using TrainingState state = new(config, crosscoder);
        string folder = Path.Combine(_folder.Path, "checkpoints"), logPath = Path.Combine(_folder.Path, "log.jsonl");
        using (TrainingLog log = new(logPath, 0))
        {
            Checkpoints checkpoints = new(folder, [], keepAll: false);
            for (int step = 5; step <= 20; step += 5)
            {
                crosscoder.BEnc_L.Row(0)[0] = step;
                (state.Step, state.Density) = (step, step / 100.0);
                log.Write(new StepRecord { Step = step });
                checkpoints.Save(state, crosscoder, log);
            }
        }

        Assert.Equal(["15", "20"], Directory.GetDirectories(folder).Select(Path.GetFileName).Order(StringComparer.Ordinal));
        string damaged = Path.Combine(folder, "20", file);
        byte[] bytes = File.ReadAllBytes(damaged);
        // In state.json a digit of a number that is still a number.
        int at = file == "state.json" ? File.ReadAllText(damaged).IndexOf("0.2", StringComparison.Ordinal) + 2 : bytes.Length - 3;
        bytes[at] ^= 1;
        File.WriteAllBytes(damaged, bytes);
        ListProgress progress = new();
        Assert.NotNull(new Checkpoints(folder, [], keepAll: false).Restore(state, crosscoder, logPath, progress));
        Assert.Equal((15, 0.15, 15f), (state.Step, state.Density, crosscoder.BEnc_L.Row(0)[0]));
        Assert.Contains($"checkpoint 20 is not used: {file} is missing or damaged", Assert.Single(progress.Warnings), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(700)]
    public void A_full_disk_during_a_checkpoint_loses_nothing_and_says_so(long room)
    {
        LooseTrainSettings settings = Settings(20, Every);
        using IBackend backend = BackendsUnderTest.Create("reference");
        LooseTraining.Run(settings with { Output = Path.Combine(_folder.Path, "whole") }, backend, new SilentProgress(), CancellationToken.None);
        int written = 0;
        // The first checkpoint of three files goes through; the disk is full at the second.
        AtomicFile.Through.Value = stream => ++written <= 4 ? stream : new FullDisk(stream, room);
        string message = Assert.Throws<DiffractException>(() => LooseTraining.Run(settings, backend, new SilentProgress(), CancellationToken.None)).Message;
        AtomicFile.Through.Value = null;
        Assert.Contains("the checkpoint of step 16 is not written, that of step 8 is whole; free some space and call the same command again", message, StringComparison.Ordinal);
        Assert.Equal(["8"], Directory.GetFileSystemEntries(Path.Combine(settings.Output, "checkpoints")).Select(Path.GetFileName));

        ListProgress progress = new();
        LooseTraining.Run(settings, backend, progress, CancellationToken.None);
        Assert.Contains(progress.Lines, l => l.Contains("going on at step 8", StringComparison.Ordinal));
        foreach (string name in (string[])["model.safetensors", "optimizer.safetensors", "log.jsonl"])
        {
            Assert.Equal(File.ReadAllBytes(Path.Combine(_folder.Path, "whole", name)), File.ReadAllBytes(Path.Combine(settings.Output, name)));
        }
    }

    void RunUntil(LooseTrainSettings settings, string backendName, long step)
    {
        using IBackend backend = BackendsUnderTest.Create(backendName);
        using CancellationTokenSource stop = new();
        ListProgress progress = new()
        {
            Reported = done =>
            {
                if (done >= step)
                {
                    stop.Cancel();
                }
            },
        };
        Assert.Throws<OperationCanceledException>(() => LooseTraining.Run(settings, backend, progress, stop.Token));
    }

    LooseTrainSettings Settings(int steps, long every) => new(
        Activations(steps, 16, 6),
        Path.Combine(_folder.Path, "out"),
        new TrainOptions { Kind = CrosscoderKind.BatchTopK, Latents = 8, K = 2, Warmup = 2, LearningRate = 0.01, DeadAfter = 48, ThresholdFrom = 2, InitNorm = 1, CheckpointEvery = every });

    string Activations(int steps, int batch, int width)
    {
        float[] values = new float[steps * batch * 2 * width];
        for (int i = 0; i < values.Length; i++)
        {
            values[i] = (float)(4 * Draws.Uniform(3, (ulong)i, 0) - 1.5);
        }

        string path = Path.Combine(_folder.Path, "x.safetensors");
        SafetensorsWriter writer = new();
        writer.Add("x", values, steps, batch, 2, width);
        writer.Save(path);
        return path;
    }

    Process Start(string[] arguments) => Process.Start(new ProcessStartInfo("dotnet", [Path.Combine(AppContext.BaseDirectory, "Diffract.Cli.dll"), .. arguments])
    {
        WorkingDirectory = _folder.Path,
        RedirectStandardOutput = true,
        RedirectStandardError = true,
    })!;

    static long LastCheckpoint(string output)
    {
        string folder = Path.Combine(output, "checkpoints");
        return Directory.Exists(folder) ? Directory.GetDirectories(folder).Select(d => long.TryParse(Path.GetFileName(d), out long step) ? step : 0).DefaultIfEmpty(0).Max() : 0;
    }
}
