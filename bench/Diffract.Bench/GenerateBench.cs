using System.Diagnostics;
using Diffract.Compute.Buffers;
using Diffract.Cpu;
using Diffract.Cpu.Threads;
using Diffract.Llms;

namespace Diffract.Bench;

/// <summary>
/// Greedy generation with the cache: each token reads every weight once. The time of a token is that of a long continuation less that of a short one, by the number of tokens between. What memory
/// can be read at is measured on both sides of every turn, and the turn's share refers to the better of the two: on a shared machine both move together. Medians of the turns.
/// </summary>
static class GenerateBench
{
    const int Prompt = 64, Short = 4, Long = 20, Turns = 7;

    public static void Run(BenchTable table, CpuPath path, int threads)
    {
        using (WorkerPool pool = new(threads))
        {
            table.Note($"memory copied by all threads {Cpu.CopyCeiling.Measure(pool):F1} GB/s, read and written; {threads} threads");
        }

        table.Note($"two blocks of each model and as much of its head, random weights, from token {Prompt + Short} to {Prompt + Long}; medians of {Turns} turns; what memory can be read at is measured on both sides of each\n");
        table.Header("model", "weights", "path", "MB read a token", "ms a token", "GB/s", "read ceiling", "share", "bytes allocated a token", "whole model: tokens/s");
        foreach (ElementType type in (ElementType[])[ElementType.BFloat16, ElementType.Float32])
        {
            using (ScaledCheckpoint gemma = ScaledCheckpoint.Gemma2(type))
            {
                Row(table, "Gemma 2 2B", 13, gemma, type, path, threads);
                if (type == ElementType.BFloat16 && path != CpuPath.Vector)
                {
                    Row(table, "Gemma 2 2B", 13, gemma, type, CpuPath.Vector, threads);
                }
            }

            using ScaledCheckpoint llama = ScaledCheckpoint.Llama32(type);
            Row(table, "Llama 3.2 1B", 8, llama, type, path, threads);
        }
    }

    static void Row(BenchTable table, string model, int groups, ScaledCheckpoint checkpoint, ElementType type, CpuPath path, int threads)
    {
        using WorkerPool pool = new(threads);
        using CpuBackend backend = new(path, threads);
        using Llm llm = Llm.Load(checkpoint.Folder, backend);
        int[] prompt = [.. Enumerable.Range(0, Prompt).Select(i => i * 37 % llm.Config.Vocabulary)];
        // The first turn compiles and reads the file.
        Measure(llm, prompt, Long);
        using ReadCeiling memory = new(pool);
        LlmConfig c = llm.Config;
        double bytes = (ForwardCost.BlockWeights(c) * c.Layers + (double)c.Vocabulary * c.Width) * type.Size();
        double[] seconds = new double[Turns], ceilings = new double[Turns], shares = new double[Turns];
        long allocated = long.MaxValue;
        for (int turn = 0; turn < Turns; turn++)
        {
            double before = memory.Measure(2);
            (double Seconds, long Bytes) few = Measure(llm, prompt, Short), many = Measure(llm, prompt, Long);
            ceilings[turn] = Math.Max(before, memory.Measure(2));
            seconds[turn] = (many.Seconds - few.Seconds) / (Long - Short);
            shares[turn] = bytes / seconds[turn] / 1e9 / ceilings[turn];
            allocated = Math.Min(allocated, (many.Bytes - few.Bytes) / (Long - Short));
        }

        double median = Numbers.Median(seconds);
        string weights = type == ElementType.BFloat16 ? "bfloat16" : "float32";
        table.Row(
            model, weights, path.ToString().ToLowerInvariant(), bytes / 1e6, median * 1e3, bytes / median / 1e9, Numbers.Median(ceilings), $"{Numbers.Median(shares):P0}", allocated,
            1 / (median * groups));
    }

    static (double Seconds, long Bytes) Measure(Llm llm, int[] prompt, int tokens)
    {
        long before = GC.GetTotalAllocatedBytes(precise: true);
        long start = Stopwatch.GetTimestamp();
        llm.Greedy(prompt, tokens, stopAtEnd: false);
        double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
        return (seconds, GC.GetTotalAllocatedBytes(precise: true) - before);
    }
}
