using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Cpu;
using Diffract.Cpu.Threads;
using Diffract.Llms;

namespace Diffract.Bench;

/// <summary>The blocks of billion-parameter models over many tokens at once, weights in the memory-mapped checkpoint: the harvest and the first step of a generation.</summary>
static class PrefillBench
{
    public static void Run(BenchTable table, CpuPath path, int threads)
    {
        table.Note($"{threads} threads; two blocks of each model, random weights; best of the passes; the FMA ceiling is measured before and after each row\n");
        table.Header("model", "weights", "path", "sequences", "ms", "tokens/s", "GFLOP/s", "FMA ceiling", "share", "bytes allocated");
        foreach (ElementType type in (ElementType[])[ElementType.BFloat16, ElementType.Float32])
        {
            using (ScaledCheckpoint gemma = ScaledCheckpoint.Gemma2(type))
            {
                Rows(table, "Gemma 2 2B", gemma, type, path, threads, [(1, 1024), (8, 128)]);
                if (type == ElementType.BFloat16 && path != CpuPath.Vector)
                {
                    Rows(table, "Gemma 2 2B", gemma, type, CpuPath.Vector, threads, [(1, 1024)]);
                }
            }

            using ScaledCheckpoint llama = ScaledCheckpoint.Llama32(type);
            Rows(table, "Llama 3.2 1B", llama, type, path, threads, [(1, 1024)]);
        }
    }

    static void Rows(
        BenchTable table, string model, ScaledCheckpoint checkpoint, ElementType type, CpuPath path, int threads, (int Count, int Length)[] sizes)
    {
        using WorkerPool pool = new(threads);
        using IBackend backend = new CpuBackend(path, threads);
        using Llm llm = Llm.Load(checkpoint.Folder, backend, 8192, headNeeded: false);
        foreach ((int count, int length) in sizes)
        {
            TokenBatch batch = Batch(count, length, llm.Config.Vocabulary);
            Matrix resid_TD = backend.Matrix(batch.Tokens, llm.Config.Width);
            int last = llm.Config.Layers - 1;
            Action pass = () => llm.RunTo(batch, last, resid_TD);
            double ceiling = FmaCeiling.Measure(pool, path);
            double seconds = Numbers.Best(pass, 2);
            ceiling = Math.Max(ceiling, FmaCeiling.Measure(pool, path));
            long before = GC.GetTotalAllocatedBytes(precise: true);
            pass();
            long allocated = GC.GetTotalAllocatedBytes(precise: true) - before;
            double rate = ForwardCost.Operations(llm.Config, batch, llm.Config.Layers) / seconds / 1e9;
            string weights = type == ElementType.BFloat16 ? "bfloat16" : "float32";
            table.Row(
                model, weights, path.ToString().ToLowerInvariant(), $"{count} x {length}", seconds * 1e3, batch.Tokens / seconds, rate, ceiling, $"{rate / ceiling:P0}", allocated);
            resid_TD.Buffer.Dispose();
        }
    }

    static TokenBatch Batch(int sequences, int length, int vocabulary)
    {
        Random random = new(7);
        TokenBatch batch = new(sequences * length, sequences);
        int[] ids = new int[length];
        for (int s = 0; s < sequences; s++)
        {
            for (int t = 0; t < length; t++)
            {
                ids[t] = random.Next(vocabulary);
            }

            batch.Add(ids);
        }

        return batch;
    }
}
