using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Diffract.Cpu.Matmul;

/// <summary>
/// One task of a product: a block of rows of A by a group of panels of B. The rows are copied into tiles, as far as they fit into the second-level cache, so that neither
/// their distance in memory (a power of two would put them all into the same few sets) nor their page matters; a block of results is summed in the first-level cache
/// through all of that depth before it goes to C. The next piece of B, and the rows of C, are fetched while the tiles run.
/// </summary>
static unsafe class ProductTasks
{
    /// <summary>Rows of A that one task works through: whole tiles on every path.</summary>
    public const int BlockRows = 96;

    /// <summary>Rows of the last tasks, so that the workers end together.</summary>
    public const int SmallRows = 24;

    /// <summary>Steps of k for which the block's rows stay in the second-level cache.</summary>
    const int Super = 512;

    /// <summary>Longest step of k of any tile.</summary>
    const int MaxDepth = 256;

    /// <summary>Widest panel of any tile.</summary>
    const int MaxColumns = 48;

    /// <summary>Most tiles of a block: four rows each.</summary>
    const int MaxTiles = BlockRows / 4;

    /// <summary>Floats per worker: the rows in tiles, a widened panel, a block of results.</summary>
    public const int ScratchFloats = BlockRows * Super + 2 * MaxTiles * MatmulPanels.TileSlack + MaxDepth * MaxColumns + BlockRows * MaxColumns;

    /// <summary>From this many floats on C is written past the caches: nothing of it would be left there.</summary>
    const long Streamed = 6 << 20;

    public static void Run<T>(void* state, int task, int worker)
        where T : ITile
    {
        Job* job = (Job*)state;
        int cut = task / job->Groups;
        int row = cut < job->BigBlocks ? cut * BlockRows : job->BigBlocks * BlockRows + (cut - job->BigBlocks) * SmallRows;
        int rows = Math.Min(cut < job->BigBlocks ? BlockRows : SmallRows, job->Rows - row);
        int first = task % job->Groups * job->GroupPanels * T.Columns;
        int end = Math.Min(first + job->GroupPanels * T.Columns, job->Columns);
        float* tiles = job->Scratch + (nint)worker * ScratchFloats;
        float* widened = tiles + BlockRows * Super + 2 * MaxTiles * MatmulPanels.TileSlack;
        float* values = widened + MaxDepth * MaxColumns;
        float* c = job->C + (job->PerWorker > 0 ? worker * job->PerWorker : row * job->Ldc);
        int k = 0;
        do
        {
            int deep = Math.Min(Super, job->Depth - k);
            bool ends = k + deep == job->Depth;
            nint tileStride = (nint)deep * T.Rows + MatmulPanels.TileSlack;
            Tiles<T>(job, row, rows, k, deep, tiles, tileStride);
            for (int j = first; j < end; j += T.Columns)
            {
                ProductBlock block = new()
                {
                    Worker = worker,
                    Row = row,
                    Rows = rows,
                    Column = j,
                    Columns = Math.Min(T.Columns, end - j),
                    Values = values,
                    Stride = T.Columns,
                };
                // One pass over k whose results need nothing more goes straight to C.
                bool direct = ends && k == 0 && deep <= T.Depth && job->End.Finish == null && block.Columns == T.Columns;
                if (direct)
                {
                    block.Values = c + j;
                    block.Stride = job->Ldc;
                }

                bool started = Start(job, &block, c + j, k);
                Sum<T>(job, &block, c + j, tiles, tileStride, widened, k, deep, started, end);
                if (ends && job->End.Finish != null && !job->End.WholeRows)
                {
                    job->End.Finish(job->End.State, &block);
                }
                else if (!direct)
                {
                    Store(job, &block, c + j);
                }
            }

            k += deep;
        }
        while (k < job->Depth);

        if (job->End.WholeRows)
        {
            ProductBlock all = new() { Worker = worker, Row = row, Rows = rows, Columns = job->Columns, Values = c, Stride = job->Ldc };
            job->End.Finish(job->End.State, &all);
        }
    }

    /// <summary>Copies the rows of A into tiles [tile][k][row].</summary>
    static void Tiles<T>(Job* job, int row, int rows, int k, int deep, float* tiles, nint tileStride)
        where T : ITile
    {
        if (job->Turned)
        {
            MatmulPanels.TilesFromColumns(job->A + k * job->Lda + row, job->Lda, rows, deep, T.Rows, tiles, tileStride);
            return;
        }

        for (int i = 0; i < rows; i += T.Rows)
        {
            MatmulPanels.TileFromRows(job->A + (row + i) * job->Lda + k, job->Lda, Math.Min(T.Rows, rows - i), deep, T.Rows, tiles);
            tiles += tileStride;
        }
    }

    /// <summary>The block's first values: what earlier steps of k left in C, or the bias; false when it starts at 0.</summary>
    static bool Start(Job* job, ProductBlock* block, float* c, int k)
    {
        if (k > 0)
        {
            Copy(c, job->Ldc, block->Values, block->Stride, block->Rows, block->Columns);
        }
        else if (job->Bias != null)
        {
            Copy(job->Bias + block->Column, 0, block->Values, block->Stride, block->Rows, block->Columns);
        }
        else if (job->RowBias != null)
        {
            // Whole panels: what lies beyond the last column is never used.
            float* start = job->RowBias + block->Row;
            int width = (block->Columns + 7) / 8 * 8;
            for (int i = 0; i < block->Rows; i++)
            {
                Vector256<float> value = Vector256.Create(start[i]);
                for (int j = 0; j < width; j += 8)
                {
                    value.Store(block->Values + i * block->Stride + j);
                }
            }
        }
        else
        {
            return false;
        }

        return true;
    }

    /// <summary>Adds <paramref name="deep"/> steps of k to the block.</summary>
    static void Sum<T>(Job* job, ProductBlock* block, float* c, float* tiles, nint tileStride, float* widened, int k, int deep, bool accumulate, int end)
        where T : ITile
    {
        int rows = block->Rows;
        int s = 0;
        do
        {
            int depth = Math.Min(T.Depth, deep - s);
            nint at = (nint)block->Column * job->Depth + (nint)(k + s) * T.Columns;
            float* panel = (float*)job->B + at;
            if (job->Widen)
            {
                MatmulPanels.Widen((ushort*)job->B + at, depth * T.Columns, widened);
                panel = widened;
            }

            bool last = s + depth == deep;
            float* next = last ? (float*)job->B + (nint)(block->Column + T.Columns) * job->Depth + (nint)k * T.Columns : panel + depth * T.Columns;
            nint ahead = rows < 4 * T.Rows || job->Widen || (last && block->Column + T.Columns >= end) ? 0 : ((nint)depth * T.Columns * T.Rows / rows + 15) & ~15;
            bool finishing = last && k + deep == job->Depth && rows >= 4 * T.Rows;
            for (int i = 0; i < rows; i += T.Rows)
            {
                Fetch(next, ahead);
                next += ahead;
                if (finishing)
                {
                    Fetch(job, block, c, i, Math.Min(T.Rows, rows - i));
                }

                float* tile = tiles + i / T.Rows * tileStride + s * T.Rows;
                T.Run(depth, tile, 1, Math.Min(T.Rows, rows - i), panel, block->Values + i * block->Stride, block->Stride, accumulate, T.Rows);
            }

            accumulate = true;
            s += depth;
        }
        while (s < deep);
    }

    static void Fetch(float* next, nint floats)
    {
        if (Sse.IsSupported)
        {
            for (nint f = 0; f < floats; f += 16)
            {
                Sse.Prefetch1(next + f);
            }
        }
    }

    static void Fetch(Job* job, ProductBlock* block, float* c, int first, int rows)
    {
        if (job->End.Ahead != null)
        {
            job->End.Ahead(job->End.State, block, first, rows);
        }
        else if (Sse.IsSupported && !job->Stream && job->End.Finish == null)
        {
            for (int i = first; i < first + rows; i++)
            {
                Sse.Prefetch0(c + i * job->Ldc);
            }
        }
    }

    static void Store(Job* job, ProductBlock* block, float* c)
    {
        bool stream = job->Stream && block->Columns % 8 == 0 && job->Ldc % 8 == 0 && (nint)c % 32 == 0;
        if (!stream)
        {
            Copy(block->Values, block->Stride, c, job->Ldc, block->Rows, block->Columns);
            return;
        }

        for (int i = 0; i < block->Rows; i++)
        {
            for (int j = 0; j < block->Columns; j += 8)
            {
                Vector256.Load(block->Values + i * block->Stride + j).StoreAlignedNonTemporal(c + i * job->Ldc + j);
            }
        }
    }

    /// <summary>Copies short rows; a call for each would cost more than the copy.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    static void Copy(float* source, nint lds, float* target, nint ldt, int rows, int columns)
    {
        for (int i = 0; i < rows; i++)
        {
            int j = 0;
            for (; j <= columns - 8; j += 8)
            {
                Vector256.Load(source + j).Store(target + j);
            }

            for (; j < columns; j++)
            {
                target[j] = source[j];
            }

            source += lds;
            target += ldt;
        }
    }

    /// <summary>One product; <see cref="Plan"/> cuts it into tasks.</summary>
    public struct Job
    {
        public float* A;
        public nint Lda;
        public int Rows;

        /// <summary>A is [K, M].</summary>
        public bool Turned;

        public void* B;
        public bool Widen;
        public int Depth;
        public float* C;
        public nint Ldc;
        public int Columns;

        /// <summary>Starts every row, or every column, of C; or null.</summary>
        public float* Bias, RowBias;

        public float* Scratch;
        public ProductEnd End;

        /// <summary>Above 0: C is a block of rows for each worker, this many elements from one to the next.</summary>
        public nint PerWorker;
        public bool Stream;
        public int GroupPanels;
        public int Groups;
        public int BigBlocks;

        /// <summary>
        /// Number of tasks: enough for all workers, but none that is not worth handing out, and none so narrow that it works more on its copy of A than with it.
        /// With an end all panels are one group.
        /// </summary>
        public int Plan(int panelColumns, int threads)
        {
            int panels = (Columns + panelColumns - 1) / panelColumns;
            int blocks = (Rows + BlockRows - 1) / BlockRows;
            long work = (long)Math.Min(Rows, BlockRows) * Depth * panelColumns;
            long worthwhile = Math.Max(1, 200_000 / Math.Max(1, work));
            long spread = Math.Max(1, (long)panels * blocks / (24L * threads));
            long wide = blocks >= 2 * threads ? 1024 / panelColumns : 1;
            GroupPanels = End.Finish != null ? panels : (int)Math.Clamp(Math.Max(wide, Math.Max(worthwhile, spread)), 1, panels);
            Groups = (panels + GroupPanels - 1) / GroupPanels;
            Stream = PerWorker == 0 && (long)Rows * Columns >= Streamed;
            BigBlocks = blocks;
            if (Groups > 1 || threads == 1 || blocks < 2)
            {
                return blocks * Groups;
            }

            BigBlocks = Math.Max(0, (Rows - BlockRows * threads / 2) / BlockRows);
            return BigBlocks + (Rows - BigBlocks * BlockRows + SmallRows - 1) / SmallRows;
        }
    }
}
