using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Cpu;
using Diffract.Cpu.Threads;
using Diffract.Llms;

namespace Diffract.Bench;

/// <summary>
/// The forward pass of the harvest on the embedded pair: blocks 0 to 3 over batches of whole sequences.
/// </summary>
static class HarvestBench
{
    const int Layer = 3;

    public static void Run(BenchTable table, CpuPath path, int threads)
    {
        using CpuBackend backend = new(path, threads);
        double ceiling;
        using (WorkerPool pool = new(threads))
        {
            ceiling = FmaCeiling.Measure(pool, path);
        }

        table.Note($"FMA ceiling {ceiling:F1} GFLOP/s ({path}, {threads} threads); blocks 0 to {Layer}, sequences of 60 to 130 tokens");
        table.Header("model", "tokens", "ms", "tokens/s", "GFLOP/s", "share of ceiling", "bytes allocated");
        foreach (string model in (string[])["base", "chat"])
        {
            using Llm llm = Llm.Load(Path.Combine(Assets(), model), backend, 8192, headNeeded: false);
            foreach (int tokens in (int[])[512, 2048, 4096, 8192])
            {
                TokenBatch batch = Batch(tokens, llm.Config.Vocabulary);
                Matrix resid_TD = backend.Matrix(batch.Tokens, llm.Config.Width);
                Action pass = () => llm.RunTo(batch, Layer, resid_TD);
                double seconds = Numbers.Best(pass);
                long before = GC.GetTotalAllocatedBytes(precise: true);
                pass();
                long allocated = GC.GetTotalAllocatedBytes(precise: true) - before;
                double rate = ForwardCost.Operations(llm.Config, batch, Layer + 1) / seconds / 1e9;
                table.Row(model, batch.Tokens, seconds * 1e3, batch.Tokens / seconds, rate, $"{rate / ceiling:P0}", allocated);
                resid_TD.Buffer.Dispose();
            }
        }
    }

    static TokenBatch Batch(int tokens, int vocabulary)
    {
        Random random = new(7);
        TokenBatch batch = new(tokens, tokens);
        for (int length = random.Next(60, 131); batch.Fits(length); length = random.Next(60, 131))
        {
            int[] ids = new int[length];
            for (int t = 0; t < length; t++)
            {
                ids[t] = random.Next(vocabulary);
            }

            batch.Add(ids);
        }

        return batch;
    }

    /// <summary>assets/organism of the checkout that this program was built in.</summary>
    public static string Assets()
    {
        for (DirectoryInfo? folder = new(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            if (File.Exists(Path.Combine(folder.FullName, "Diffract.slnx")))
            {
                return Path.Combine(folder.FullName, "assets", "organism");
            }
        }

        throw new InvalidOperationException("the bench does not run from inside the checkout");
    }
}
