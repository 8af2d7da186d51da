using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Diffract.Compute.Buffers;

namespace Diffract.Cpu.Matmul;

/// <summary>
/// The tasks of a <see cref="WeightProduct"/>. Many rows: the weights of a group of columns are turned into panels in the third-level cache, by all workers, while the group before is being
/// multiplied; a task takes a block of rows, tiles that fit the second-level cache, through some of the group's panels, and keeps their sums beside them until the last k. Few rows: a task turns
/// a strip of weights into the first-level cache, piece by piece, and uses it at once: every weight is read once, in the order in which it lies in memory.
/// </summary>
static unsafe class WeightTasks
{
    /// <summary>Steps of k for which a block's rows stay in the second-level cache.</summary>
    public const int Super = 512;

    /// <summary>Rows of a block, at most: with <see cref="Super"/> steps of k, 192 KiB.</summary>
    public const int BlockRows = 96;

    /// <summary>Columns of the sums that a task keeps beside them.</summary>
    public const int TaskColumns = 256;

    /// <summary>Longest step of k of any tile, and of a strip.</summary>
    const int MaxDepth = 256;

    /// <summary>Widest panel of any tile.</summary>
    const int MaxColumns = 48;

    const int FewDepth = 128;

    /// <summary>Most rows of any tile.</summary>
    const int MaxRows = 8;

    /// <summary>Up to this many rows are few.</summary>
    public const int FewRows = 47;

    /// <summary>Floats per worker: a strip of weights, and the sums of a task.</summary>
    public const int ScratchFloats = MaxDepth * MaxColumns + (BlockRows + MaxRows) * (TaskColumns + MaxColumns);

    /// <summary>Floats of the rows of x as tiles.</summary>
    public static long TileFloats(int rows, int depth)
        => ((long)rows + MaxRows) * depth + ((long)rows + MaxRows) / 4 * ((depth + Super - 1) / Super) * MatmulPanels.TileSlack + MatmulPanels.TileSlack;

    /// <summary>The first work of a product of many rows: a share of the tiles, a share of the first group's panels.</summary>
    public static void Begin<T>(void* state, int task, int worker)
        where T : ITile
    {
        Job* job = (Job*)state;
        Tiles<T>(job, task);
        Panels<T>(job, task);
    }

    /// <summary>A share of x as tiles [k / Super][tile][k][row].</summary>
    public static void Tiles<T>(void* state, int task, int worker)
        where T : ITile
        => Tiles<T>((Job*)state, task);

    /// <summary>A block of rows by some panels of the group, and a share of the next group's panels.</summary>
    public static void Multiply<T>(void* state, int task, int worker)
        where T : ITile
    {
        Job* job = (Job*)state;
        int block = task / job->Subs, sub = task % job->Subs;
        int firstTile = (int)((long)job->TileCount * block / job->Blocks), endTile = (int)((long)job->TileCount * (block + 1) / job->Blocks);
        int row = firstTile * T.Rows, rows = Math.Min(job->Rows - row, (endTile - firstTile) * T.Rows);
        int first = sub * job->SubColumns, end = Math.Min(first + job->SubColumns, job->GroupColumns);
        if (rows > 0 && first < end)
        {
            float* sums = job->Scratch + (nint)worker * ScratchFloats + MaxDepth * MaxColumns;
            int k = 0;
            do
            {
                int deep = Math.Min(Super, job->Depth - k);
                Piece<T>(job, firstTile, row, rows, first, end, k, deep, sums);
                k += deep;
            }
            while (k < job->Depth);
        }

        Panels<T>(job, task);
    }

    /// <summary>A strip of weights by all rows.</summary>
    public static void Few<T>(void* state, int task, int worker)
        where T : ITile
    {
        Job* job = (Job*)state;
        bool tiled = job->Rows > 2 * FewRowsF32.Rows - 1;
        int width = tiled ? T.Columns : FewRowsF32.Columns;
        int n = task * width, columns = Math.Min(width, job->Columns - n), rows = job->Rows;
        float* strip = job->Scratch + (nint)worker * ScratchFloats, sums = strip + MaxDepth * MaxColumns;
        Block first = new(job->First, job->Bias, sums, width), second = new(job->Second, job->SecondBias, sums + (rows + MaxRows) * width, width);
        int ways = job->Second.First == null ? 1 : 2;
        for (int way = 0; way < ways; way++)
        {
            Block* block = way == 0 ? &first : &second;
            bool started = Start(job, block, 0, rows, n, columns);
            if (rows == 1 && columns % OneRow.Columns == 0 && OneRow.IsSupported)
            {
                for (int j = 0; j < columns; j += OneRow.Columns)
                {
                    byte* next = block->Weights.At(n + j + OneRow.Columns, 0);
                    OneRow.Run(job->Depth, job->X, block->Weights.At(n + j, 0), block->Weights.Stride, block->Weights.Type, block->Sums + j, started, next);
                }

                continue;
            }

            int k = 0;
            do
            {
                int deep = Math.Min(tiled ? MaxDepth : FewDepth, job->Depth - k);
                byte* ahead = block->Weights.At(n + columns, 0) + (nint)k * columns * block->Weights.Type.Size();
                WeightPanels.FromRows(block->Weights.At(n, k), block->Weights.Stride, block->Weights.Type, columns, deep, width, strip, ahead);
                nint half = (nint)deep * columns * block->Weights.Type.Size() / 2;
                Sum<T>(job, tiled, k, deep, strip, block->Sums, started, ahead + half, half);
                started = true;
                k += deep;
            }
            while (k < job->Depth);
        }

        Finish(job, &first, ways == 2 ? second.Sums : null, 0, rows, n, columns);
    }

    static void Tiles<T>(Job* job, int task)
        where T : ITile
    {
        int first = (int)((long)job->TileCount * task / job->Tasks), end = (int)((long)job->TileCount * (task + 1) / job->Tasks);
        for (int tile = first; tile < end; tile++)
        {
            int row = tile * T.Rows;
            for (int k = 0; k < job->Depth; k += Super)
            {
                int deep = Math.Min(Super, job->Depth - k);
                MatmulPanels.TileFromRows(job->X + row * job->XStride + k, job->XStride, Math.Min(T.Rows, job->Rows - row), deep, T.Rows, TileAt<T>(job, tile, k));
            }
        }
    }

    static float* TileAt<T>(Job* job, int tile, int k)
        where T : ITile
    {
        int super = k / Super, start = super * Super;
        nint before = (nint)job->TileCount * ((nint)start * T.Rows + super * MatmulPanels.TileSlack);
        return job->Tiles + before + tile * ((nint)Math.Min(Super, job->Depth - start) * T.Rows + MatmulPanels.TileSlack) + (k - start) * T.Rows;
    }

    /// <summary>A share of the next group's panels; with a second matrix its panels alternate with the first one's.</summary>
    static void Panels<T>(Job* job, int task)
        where T : ITile
    {
        int ways = job->Second.First == null ? 1 : 2;
        int panels = (job->NextColumns + T.Columns - 1) / T.Columns * ways;
        int first = (int)((long)panels * task / job->Tasks), end = (int)((long)panels * (task + 1) / job->Tasks);
        for (int p = first; p < end; p++)
        {
            int n = p / ways * T.Columns, columns = Math.Min(T.Columns, job->NextColumns - n);
            WeightRows weights = p % ways == 0 ? job->First : job->Second;
            float* panel = job->NextPanels + (nint)p * T.Columns * job->Depth;
            for (int k = 0; k < job->Depth; k += MaxDepth)
            {
                int deep = Math.Min(MaxDepth, job->Depth - k);
                WeightPanels.FromRows(weights.At(job->NextFirst + n, k), weights.Stride, weights.Type, columns, deep, T.Columns, panel + (nint)k * T.Columns, null);
            }
        }
    }

    /// <summary><paramref name="deep"/> steps of k of a block of rows by the columns first .. end - 1 of the group.</summary>
    static void Piece<T>(Job* job, int firstTile, int row, int rows, int first, int end, int k, int deep, float* sums)
        where T : ITile
    {
        int ways = job->Second.First == null ? 1 : 2;
        nint blockFloats = (nint)(rows + MaxRows) * T.Columns;
        nint tileStride = (nint)deep * T.Rows + MatmulPanels.TileSlack;
        float* tiles = TileAt<T>(job, firstTile, k);
        bool last = k + deep == job->Depth;
        for (int n = first; n < end; n += T.Columns)
        {
            int columns = Math.Min(T.Columns, end - n);
            Block block = default, other = default;
            for (int way = 0; way < ways; way++)
            {
                bool isFirst = way == 0;
                Block one = new(isFirst ? job->First : job->Second, isFirst ? job->Bias : job->SecondBias, sums, T.Columns);
                block = isFirst ? one : block;
                other = one;
                bool started = k > 0 || Start(job, &one, row, rows, job->GroupFirst + n, columns);
                float* panel = job->Panels + (nint)(n / T.Columns * ways + way) * T.Columns * job->Depth + (nint)k * T.Columns;
                Tile<T>(rows, deep, tiles, tileStride, panel, (nint)job->Depth * T.Columns, n + T.Columns < end || way + 1 < ways, sums, started);
                sums += blockFloats;
            }

            if (last)
            {
                Finish(job, &block, ways == 2 ? other.Sums : null, row, rows, job->GroupFirst + n, columns);
            }
        }
    }

    /// <summary>Adds some steps of k of one panel to the sums of a block of rows, and fetches the panel's next piece, or the next panel's first.</summary>
    static void Tile<T>(int rows, int deep, float* tiles, nint tileStride, float* panel, nint panelStride, bool more, float* sums, bool started)
        where T : ITile
    {
        int s = 0;
        do
        {
            int depth = Math.Min(T.Depth, deep - s);
            bool last = s + depth == deep;
            float* next = last ? panel + panelStride : panel + (s + depth) * T.Columns;
            nint share = last && !more ? 0 : ((nint)Math.Min(T.Depth, last ? deep : deep - s - depth) * T.Columns * T.Rows / rows + 15) & ~15;
            for (int i = 0; i < rows; i += T.Rows)
            {
                Fetch(next, share);
                next += share;
                float* tile = tiles + i / T.Rows * tileStride + s * T.Rows;
                T.Run(depth, tile, 1, Math.Min(T.Rows, rows - i), panel + s * T.Columns, sums + i * T.Columns, T.Columns, started, T.Rows);
            }

            started = true;
            s += depth;
        }
        while (s < deep);
    }

    /// <summary>Some steps of k of one strip by all rows.</summary>
    static void Sum<T>(Job* job, bool tiled, int k, int deep, float* strip, float* sums, bool started, byte* ahead, nint bytes)
        where T : ITile
    {
        if (tiled)
        {
            nint floats = (bytes / sizeof(float) / job->TileCount + 15) & ~15;
            for (int i = 0; i < job->Rows; i += T.Rows)
            {
                Fetch((float*)ahead, floats);
                ahead += floats * sizeof(float);
                T.Run(deep, TileAt<T>(job, i / T.Rows, k), 1, Math.Min(T.Rows, job->Rows - i), strip, sums + i * T.Columns, T.Columns, started, T.Rows);
            }

            return;
        }

        int passes = (job->Rows + FewRowsF32.Rows - 1) / FewRowsF32.Rows;
        nint share = bytes / passes / Math.Max(1, deep);
        for (int i = 0; i < job->Rows;)
        {
            // Four rows are two and two.
            int some = job->Rows - i == 4 ? 2 : Math.Min(FewRowsF32.Rows, job->Rows - i);
            FewRowsF32.Run(deep, job->X + i * job->XStride + k, job->XStride, some, strip, sums + i * FewRowsF32.Columns, started, ahead, share);
            ahead += share * deep;
            i += some;
        }
    }

    /// <summary>The first values of a block: what the result holds, or the bias; false when it starts at 0.</summary>
    static bool Start(Job* job, Block* block, int row, int rows, int n, int columns)
    {
        if (job->Continue)
        {
            Copy(job->Out + row * job->OutStride + n, job->OutStride, block->Sums, block->Width, rows, columns);
            return true;
        }

        if (block->Bias == null)
        {
            return false;
        }

        Copy(block->Bias + n, 0, block->Sums, block->Width, rows, columns);
        return true;
    }

    static void Finish(Job* job, Block* block, float* second, int row, int rows, int n, int columns)
    {
        if (job->End != null)
        {
            job->End(block->Sums, second, rows * block->Width, job->EndOption);
        }

        Copy(block->Sums, block->Width, job->Out + row * job->OutStride + n, job->OutStride, rows, columns);
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

    /// <summary>The sums of a few rows by one panel of one of the matrices.</summary>
    readonly struct Block(WeightRows weights, float* bias, float* sums, int width)
    {
        public readonly WeightRows Weights = weights;
        public readonly float* Bias = bias;
        public readonly float* Sums = sums;
        public readonly int Width = width;
    }

    /// <summary>One product.</summary>
    public struct Job
    {
        public float* X;
        public nint XStride;
        public int Rows;
        public WeightRows First;

        /// <summary>A second matrix of the same shape, or none.</summary>
        public WeightRows Second;

        /// <summary>N and K.</summary>
        public int Columns, Depth;

        /// <summary>Start of every row's chains, or null.</summary>
        public float* Bias, SecondBias;

        public float* Out;
        public nint OutStride;

        /// <summary>The chains go on from what the result holds.</summary>
        public bool Continue;

        /// <summary>Takes finished sums (of the first matrix, of the second or null, their number, <see cref="EndOption"/>) and leaves the result in the first.</summary>
        public delegate*<float*, float*, int, int, void> End;
        public int EndOption;

        public float* Scratch;
        public float* Tiles;
        public int TileCount;
        public float* Panels;
        public int GroupFirst, GroupColumns;
        public float* NextPanels;
        public int NextFirst, NextColumns;
        public int Blocks, Subs, SubColumns, Tasks;
    }
}
