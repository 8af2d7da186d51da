using System.Diagnostics;
using System.Globalization;
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
    const int Prompt = 64, Short = 2, Long = 14, Turns = 7;

    public static void Run(BenchTable table, CpuPath path, int threads, string[] names)
    {
        // Names of models, of types and numbers of chats pick rows.
        string[] wanted = [.. names.Any(n => n is "gemma" or "llama") ? names : ["gemma", "llama", .. names]];
        int[] numbers = [.. names.Where(n => int.TryParse(n, out _)).Select(n => int.Parse(n, CultureInfo.InvariantCulture))];
        numbers = numbers.Length > 0 ? numbers : [1, 4, 16];
        using (WorkerPool pool = new(threads))
        {
            table.Note($"memory copied by all threads {Cpu.CopyCeiling.Measure(pool):F1} GB/s, read and written; {threads} threads");
        }

        table.Note($"two blocks of each model and as much of its head, random weights, from token {Prompt + Short} to {Prompt + Long}; medians of {Turns} turns; what memory can be read at is measured on both sides of each\n");
        table.Header("model", "weights", "path", "chats", "MB read a step", "ms a step", "GB/s", "read ceiling", "share", "GFLOP/s", "bytes allocated a step", "whole model: tokens/s");
        foreach (ElementType type in (ElementType[])[ElementType.BFloat16, ElementType.Float32])
        {
            if (names.Any(n => n is "bfloat16" or "float32") && !names.Contains(type.ToString().ToLowerInvariant()))
            {
                continue;
            }

            if (wanted.Contains("gemma"))
            {
                using ScaledCheckpoint gemma = ScaledCheckpoint.Gemma2(type);
                Rows(table, "Gemma 2 2B", 13, gemma, type, path, threads, numbers);
                if (type == ElementType.BFloat16 && path != CpuPath.Vector && numbers.Contains(1))
                {
                    Rows(table, "Gemma 2 2B", 13, gemma, type, CpuPath.Vector, threads, [1]);
                }
            }

            if (wanted.Contains("llama"))
            {
                using ScaledCheckpoint llama = ScaledCheckpoint.Llama32(type);
                Rows(table, "Llama 3.2 1B", 8, llama, type, path, threads, numbers);
            }
        }
    }

    static void Rows(BenchTable table, string model, int groups, ScaledCheckpoint checkpoint, ElementType type, CpuPath path, int threads, int[] chats)
    {
        using WorkerPool pool = new(threads);
        using CpuBackend backend = new(path, threads);
        using Llm llm = Llm.Load(checkpoint.Folder, backend);
        using ReadCeiling memory = new(pool);
        foreach (int count in chats)
        {
            // Prompts of different lengths around 64 tokens.
            int[][] prompts = [.. Enumerable.Range(0, count).Select(c => Enumerable.Range(0, Prompt + c % 4 * 8 - (count > 1 ? 12 : 0)).Select(i => i * 37 % llm.Config.Vocabulary).ToArray())];
            Row(table, model, groups, llm, prompts, type, path, memory);
        }
    }

    static void Row(BenchTable table, string model, int groups, Llm llm, int[][] prompts, ElementType type, CpuPath path, ReadCeiling memory)
    {
        // The first turn compiles and reads the file.
        Measure(llm, prompts, Long);
        LlmConfig c = llm.Config;
        double weights = ForwardCost.BlockWeights(c) * c.Layers + (double)c.Vocabulary * c.Width, bytes = weights * type.Size();
        double[] seconds = new double[Turns], ceilings = new double[Turns], shares = new double[Turns];
        long allocated = long.MaxValue;
        for (int turn = 0; turn < Turns; turn++)
        {
            double before = memory.Measure(2);
            (double Seconds, long Bytes) few = Measure(llm, prompts, Short), many = Measure(llm, prompts, Long);
            ceilings[turn] = Math.Max(before, memory.Measure(2));
            seconds[turn] = (many.Seconds - few.Seconds) / (Long - Short);
            shares[turn] = bytes / seconds[turn] / 1e9 / ceilings[turn];
            // The ids themselves, gathered and returned, are the result.
            allocated = Math.Min(allocated, (many.Bytes - few.Bytes) / (Long - Short) - 2 * sizeof(int) * prompts.Length);
        }

        double median = Numbers.Median(seconds);
        table.Row(
            model, type == ElementType.BFloat16 ? "bfloat16" : "float32", path.ToString().ToLowerInvariant(), prompts.Length, bytes / 1e6, median * 1e3, bytes / median / 1e9, Numbers.Median(ceilings),
            $"{Numbers.Median(shares):P0}", 2 * weights * prompts.Length / median / 1e9, allocated, prompts.Length / (median * groups));
    }

    static (double Seconds, long Bytes) Measure(Llm llm, int[][] prompts, int tokens)
    {
        long before = GC.GetTotalAllocatedBytes(precise: true);
        long start = Stopwatch.GetTimestamp();
        llm.GreedyBatch(prompts, tokens, stopAtEnd: false);
        double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
        return (seconds, GC.GetTotalAllocatedBytes(precise: true) - before);
    }
}
