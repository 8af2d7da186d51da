using Diffract.Compute.Buffers;
using Diffract.Cpu;
using Diffract.Cpu.Matmul;
using Diffract.Cpu.Threads;

namespace Diffract.Bench;

/// <summary>Dense products: the shapes of a small language model, of a crosscoder and of large squares, with their share of the ceiling.</summary>
static class MatmulBench
{
    static readonly (int M, int N, int K)[] Shapes =
    [
        (2048, 512, 128), (2048, 128, 512), (2048, 2048, 512), (1024, 8192, 512), (8192, 512, 1024), (1024, 512, 8192), (1024, 2048, 256), (1024, 1024, 1024), (1, 2048, 512), (16, 2048, 512),
    ];

    public static void Run(BenchTable table, CpuPath path, int threads)
    {
        using WorkerPool pool = new(threads);
        using MatrixProduct product = new(path, pool);
        double ceiling = FmaCeiling.Measure(pool, path);
        table.Note($"FMA ceiling {ceiling:F1} GFLOP/s ({path}, {threads} threads)\n");
        table.Header("product", "M", "N", "K", "ms", "GFLOP/s", "share of ceiling");
        foreach ((int m, int n, int k) in Shapes)
        {
            Matrix a_MK = Numbers.Fill(m, k, 1), b_NK = Numbers.Fill(n, k, 2), c_MN = Matrix.Host(m, n);
            Matrix a_KM = Numbers.Fill(k, m, 3), b_KN = Numbers.Fill(k, n, 4);
            using PackedMatrix packed = product.Pack(b_NK);
            Row("A·Bᵀ packed", () => product.TimesTransposed(a_MK, packed, c_MN));
            Row("A·Bᵀ", () => product.TimesTransposed(a_MK, b_NK, c_MN));
            Row("A·B", () => product.Times(a_MK, b_KN, c_MN));
            Row("Aᵀ·B", () => product.TransposedTimes(a_KM, b_KN, c_MN));

            void Row(string name, Action action)
            {
                double best = Numbers.Best(action);
                double rate = 2.0 * m * n * k / best / 1e9;
                table.Row(name, m, n, k, best * 1e3, rate, $"{rate / ceiling:P0}");
            }
        }
    }
}
