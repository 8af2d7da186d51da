using Diffract.Compute;
using Diffract.Compute.Buffers;
using Diffract.Cpu.Threads;

namespace Diffract.Cpu.Matmul;

/// <summary>
/// x·Wᵀ with the weights of a layer, float32 or bfloat16, straight from where they lie. Each element is one chain of multiply-adds in the order of k from the bias (or 0), as in
/// <see cref="MatrixProduct"/>: a row gives the same bits alone and in any batch. For the first few rows all time goes into reading the weights, for many into multiplying; both keep near
/// the ceiling. An instance serves one product at a time; it allocates only when a product is larger than all before.
/// </summary>
public sealed unsafe class WeightProduct : IDisposable
{
    /// <summary>Rows that pass through the weights together, at most.</summary>
    internal const int ChunkRows = 1536;

    /// <summary>Floats of a group's panels for each worker, and at least that many in all: what is multiplied and what comes next have to fit the third-level cache beside the rows.</summary>
    const long GroupFloats = 1 << 19, LeastGroupFloats = 1 << 20;

    readonly CpuPath _path;
    readonly WorkerPool _pool;
    readonly HostBuffer _scratch;
    readonly int _tileRows, _panelColumns;
    HostBuffer _tiles = new(ElementType.Float32, 16);
    HostBuffer _panels = new(ElementType.Float32, 16);

    public WeightProduct(CpuPath path, WorkerPool pool)
    {
        _path = path;
        _pool = pool;
        _scratch = new HostBuffer(ElementType.Float32, (long)pool.Threads * WeightTasks.ScratchFloats);
        (_tileRows, _panelColumns) = path switch
        {
            CpuPath.Avx512 => (MatmulAvx512F32.Rows, MatmulAvx512F32.Columns),
            CpuPath.Avx2 => (MatmulAvx2F32.Rows, MatmulAvx2F32.Columns),
            _ => (MatmulVectorF32.Rows, MatmulVectorF32.Columns),
        };
    }

    /// <summary>out = x·Wᵀ (+ bias on every row).</summary>
    /// <param name="x_TK">[T, K], float32.</param>
    /// <param name="w_NK">[N, K], float32 or bfloat16.</param>
    /// <param name="out_TN">[T, N], float32, written.</param>
    /// <param name="bias_N">[1, N], float32, or null.</param>
    /// <param name="more">out += instead: the chains go on from what is there, so that a long sum may be taken in pieces. No bias then.</param>
    public void Times(Matrix x_TK, Matrix w_NK, Matrix out_TN, Matrix? bias_N = null, bool more = false)
    {
        Check(x_TK, w_NK, out_TN, bias_N);
        if (more && bias_N is not null)
        {
            throw new ShapeException("x·Wᵀ", "a bias starts a sum, it does not continue one", $"{x_TK}, {w_NK}, bias {bias_N}");
        }

        WeightTasks.Job job = new() { First = new WeightRows(w_NK), Bias = bias_N is { } bias ? bias.Floats : null, Continue = more };
        Run(ref job, x_TK, out_TN);
    }

    /// <summary>
    /// out = end(x·Wᵀ, x·Vᵀ): <paramref name="end"/>(w, v, count, option) gets sums of both, block by block while they are in the first-level cache, element by element, and leaves the results in w.
    /// Without V it gets null.
    /// </summary>
    internal void Times(Matrix x_TK, Matrix w_NK, Matrix? v_NK, Matrix out_TN, Matrix? wBias_N, Matrix? vBias_N, delegate*<float*, float*, int, int, void> end, int option)
    {
        Check(x_TK, w_NK, out_TN, wBias_N);
        WeightTasks.Job job = new() { First = new WeightRows(w_NK), Bias = wBias_N is { } bias ? bias.Floats : null, End = end, EndOption = option };
        if (v_NK is { } second)
        {
            Check(x_TK, second, out_TN, vBias_N);
            job.Second = new WeightRows(second);
            job.SecondBias = vBias_N is { } secondBias ? secondBias.Floats : null;
        }

        Run(ref job, x_TK, out_TN);
    }

    public void Dispose()
    {
        _scratch.Dispose();
        _tiles.Dispose();
        _panels.Dispose();
    }

    void Run(ref WeightTasks.Job job, Matrix x_TK, Matrix out_TN)
    {
        if (out_TN.Rows == 0 || out_TN.Columns == 0)
        {
            return;
        }

        job.Scratch = _scratch.Floats;
        job.XStride = x_TK.Stride;
        job.OutStride = out_TN.Stride;
        (job.Columns, job.Depth) = (out_TN.Columns, x_TK.Columns);
        int chunks = (x_TK.Rows + ChunkRows - 1) / ChunkRows;
        for (int chunk = 0; chunk < chunks; chunk++)
        {
            int row = (int)((long)x_TK.Rows * chunk / chunks);
            job.Rows = (int)((long)x_TK.Rows * (chunk + 1) / chunks) - row;
            job.X = x_TK.Floats + (long)row * x_TK.Stride;
            job.Out = out_TN.Floats + (long)row * out_TN.Stride;
            job.TileCount = (job.Rows + _tileRows - 1) / _tileRows;
            fixed (WeightTasks.Job* state = &job)
            {
                switch (_path)
                {
                    case CpuPath.Avx512:
                        Run<MatmulAvx512F32>(state);
                        break;
                    case CpuPath.Avx2:
                        Run<MatmulAvx2F32>(state);
                        break;
                    default:
                        Run<MatmulVectorF32>(state);
                        break;
                }
            }
        }
    }

    void Run<T>(WeightTasks.Job* job)
        where T : ITile
    {
        if (job->Rows <= WeightTasks.FewRows)
        {
            Few<T>(job);
            return;
        }

        int ways = job->Second.First == null ? 1 : 2;
        Plan(job, ways);
        job->Tiles = Scratch.Grow(ref _tiles, WeightTasks.TileFloats(job->Rows, job->Depth)).Floats;
        int group = job->GroupColumns;
        long floats = Math.Max(1, (long)group * ways * job->Depth);
        float* panels = Scratch.Grow(ref _panels, job->Columns > group ? 2 * floats : floats).Floats;
        job->NextPanels = panels;
        (job->NextFirst, job->NextColumns) = (0, Math.Min(group, job->Columns));
        _pool.Run(job->Tasks, &WeightTasks.Begin<T>, job);
        for (int n = 0; n < job->Columns; n += group)
        {
            job->Panels = job->NextPanels;
            (job->GroupFirst, job->GroupColumns) = (n, job->NextColumns);
            job->NextFirst = Math.Min(n + group, job->Columns);
            job->NextColumns = Math.Min(group, job->Columns - job->NextFirst);
            job->NextPanels = job->Panels == panels ? panels + floats : panels;
            _pool.Run(job->Tasks, &WeightTasks.Multiply<T>, job);
        }
    }

    void Few<T>(WeightTasks.Job* job)
        where T : ITile
    {
        bool tiled = job->Rows > 2 * FewRowsF32.Rows - 1;
        if (tiled)
        {
            job->Tiles = Scratch.Grow(ref _tiles, WeightTasks.TileFloats(job->Rows, job->Depth)).Floats;
            job->Tasks = Math.Min(job->TileCount, _pool.Threads);
            _pool.Run(job->Tasks, &WeightTasks.Tiles<T>, job);
        }

        int width = tiled ? T.Columns : FewRowsF32.Columns;
        _pool.Run((job->Columns + width - 1) / width, &WeightTasks.Few<T>, job);
    }

    /// <summary>Blocks of rows, in a number that all workers can share evenly; groups of columns by what the caches hold.</summary>
    void Plan(WeightTasks.Job* job, int ways)
    {
        int blocks = (job->Rows + WeightTasks.BlockRows - 1) / WeightTasks.BlockRows;
        job->Blocks = Math.Min(job->TileCount, (blocks + _pool.Threads - 1) / _pool.Threads * _pool.Threads);
        int panel = _panelColumns;
        int sub = Math.Max(panel, WeightTasks.TaskColumns / panel * panel / ways / panel * panel);
        long columns = Math.Max(LeastGroupFloats, GroupFloats * _pool.Threads) / Math.Max(1, (long)job->Depth * ways);
        int subs = (int)Math.Clamp(columns / sub, 1, (job->Columns + sub - 1) / sub);
        int groups = (job->Columns + subs * sub - 1) / (subs * sub);
        // As even as whole panels allow.
        int share = (job->Columns + groups * subs - 1) / (groups * subs);
        job->SubColumns = (share + panel - 1) / panel * panel;
        job->Subs = subs;
        job->GroupColumns = job->SubColumns * subs;
        job->Tasks = job->Blocks * subs;
    }

    static void Check(Matrix x_TK, Matrix w_NK, Matrix out_TN, Matrix? bias_N)
    {
        bool fits = x_TK.Columns == w_NK.Columns && x_TK.Rows == out_TN.Rows && w_NK.Rows == out_TN.Columns && w_NK.Type is ElementType.Float32 or ElementType.BFloat16;
        if (!fits || (bias_N is { } bias && bias.Columns != w_NK.Rows))
        {
            throw new ShapeException("x·Wᵀ", "x [T, K], W [N, K] float32 or bfloat16, out [T, N], bias [1, N]", $"{x_TK}, {w_NK}, out {out_TN}, bias {bias_N}");
        }
    }
}
