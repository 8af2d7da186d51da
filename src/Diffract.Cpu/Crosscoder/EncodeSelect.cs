using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Cpu.Matmul;
using Diffract.Cpu.Threads;

namespace Diffract.Cpu.Crosscoder;

/// <summary>
/// p = ReLU(acts · wEncᵀ + bEnc), scanned block by block and thrown away: only pairs with p·s at or above a floor are kept.
/// A block is a few latents by all tokens, so that what the scan finds is latent-major already. Each worker appends to a list of its own;
/// the blocks remember where. For BatchTopK the floor is a guess from the cut of the code's last batch: exact whatever the guess,
/// because a guess that was too high shows as too few pairs and is lowered.
/// </summary>
sealed unsafe class EncodeSelect : IDisposable
{
    /// <summary>Latents of a block: whole tiles on every path.</summary>
    const int BlockLatents = 48;

    /// <summary>One block in this many is looked at when there is no earlier cut to start from.</summary>
    const int SampleStride = 16;

    readonly CpuPath _path;
    readonly WorkerPool _pool;
    readonly MatrixProduct _product;
    readonly Found* _found;
    readonly BatchTopK _topK;
    readonly CodeOrders _orders;
    HostBuffer _panels = new(ElementType.Float32, 16);
    HostBuffer _block = new(ElementType.Float32, 16);
    HostBuffer _places = new(ElementType.Int32, 16);
    HostBuffer _counts = new(ElementType.Int32, 16);
    float _margin = 0.85f;

    public EncodeSelect(CpuPath path, WorkerPool pool, MatrixProduct product, CodeOrders orders)
    {
        _path = path;
        _pool = pool;
        _product = product;
        _orders = orders;
        _topK = new BatchTopK(pool);
        _found = (Found*)NativeMemory.AllocZeroed((nuint)pool.Threads, (nuint)sizeof(Found));
    }

    public void Run(Matrix acts_BE, Matrix wEnc_LE, Matrix bEnc_L, Matrix scale_L, Selection selection, SparseCode code)
    {
        Job job = Prepare(acts_BE, wEnc_LE, bEnc_L, scale_L);
        int* counts = Scratch.Grow(ref _counts, wEnc_LE.Rows).Ints;
        job.Counts = counts;
        code.Tokens = acts_BE.Rows;
        if (selection.Rule == SelectionRule.BatchTopK)
        {
            SelectLargest(ref job, selection.Count, code);
        }
        else if (selection.Rule == SelectionRule.ThresholdEach)
        {
            job.FloorEach = selection.Threshold_L!.Value.Floats;
            Find(ref job, 0, stride: 1);
            _topK.KeepAll(job.View(), code);
        }
        else
        {
            // q > T ≥ 0 is q ≥ the next float; below 0, and for Positive, what counts is p > 0.
            bool scaled = selection.Rule == SelectionRule.Threshold && selection.Threshold >= 0;
            job.Unscaled = !scaled;
            Find(ref job, scaled ? MathF.BitIncrement(selection.Threshold) : float.Epsilon, stride: 1);
            _topK.KeepAll(job.View(), code);
        }

        _orders.TokensFromLatents(code);
    }

    public void Dispose()
    {
        for (int i = 0; i < _pool.Threads; i++)
        {
            NativeMemory.Free(_found[i].Tokens);
            NativeMemory.Free(_found[i].Values);
        }

        NativeMemory.Free(_found);
        _panels.Dispose();
        _block.Dispose();
        _places.Dispose();
        _counts.Dispose();
        _topK.Dispose();
    }

    void SelectLargest(ref Job job, int wanted, SparseCode code)
    {
        if (wanted <= 0)
        {
            new Span<int>(job.Counts, job.Latents).Clear();
            new Span<Place>(job.Places, job.Blocks).Clear();
            _topK.KeepAll(job.View(), code);
            return;
        }

        float floor = Guess(ref job, wanted, code.SmallestScaled);
        long found = Find(ref job, floor, stride: 1);
        for (int attempt = 1; found < wanted && floor > float.Epsilon; attempt++)
        {
            _margin = Math.Max(0.3f, _margin - 0.15f);
            floor = attempt < 3 ? Math.Max(floor * 0.5f, float.Epsilon) : float.Epsilon;
            found = Find(ref job, floor, stride: 1);
        }

        _margin = Math.Min(0.9f, _margin + (found > 4L * wanted ? 0.05f : 0.002f));
        if (found <= wanted)
        {
            _topK.KeepAll(job.View(), code);
        }
        else
        {
            _topK.KeepLargest(job.View(), wanted, code);
        }
    }

    /// <summary>A floor that should lie a little below the cut.</summary>
    float Guess(ref Job job, int wanted, float lastCut)
    {
        if (lastCut > 0)
        {
            return Math.Max(lastCut * _margin, float.Epsilon);
        }

        if (job.Blocks < 2 * SampleStride || wanted >= (long)job.Tokens * job.Latents / 4)
        {
            return float.Epsilon;
        }

        long found = Find(ref job, float.Epsilon, SampleStride);
        long rank = (long)(1.3 * wanted / SampleStride) + 64;
        return found <= rank ? float.Epsilon : _topK.Cut(job.View(), rank).Cut;
    }

    Job Prepare(Matrix acts_BE, Matrix wEnc_LE, Matrix bEnc_L, Matrix scale_L)
    {
        int columns = _product.PanelColumns;
        int panels = (acts_BE.Rows + columns - 1) / columns;
        int blocks = (wEnc_LE.Rows + BlockLatents - 1) / BlockLatents;
        // 16 more than the panels: rows a power of two apart would share the same few cache sets.
        int width = panels * columns + 16;
        HostBuffer packed = Scratch.Grow(ref _panels, (long)panels * columns * acts_BE.Columns);
        _product.PackRows(acts_BE, packed);
        return new Job
        {
            W = wEnc_LE.Floats,
            WStride = wEnc_LE.Stride,
            Bias = bEnc_L.Floats,
            Scale = scale_L.Floats,
            Depth = acts_BE.Columns,
            Latents = wEnc_LE.Rows,
            Tokens = acts_BE.Rows,
            Panels = packed.Floats,
            PanelCount = panels,
            Block = Scratch.Grow(ref _block, (long)_pool.Threads * BlockLatents * width).Floats,
            Width = width,
            Blocks = blocks,
            Places = (Place*)Scratch.Grow(ref _places, (long)blocks * sizeof(Place) / sizeof(int)).Pointer,
            Found = _found,
        };
    }

    /// <summary>Looks at every <paramref name="stride"/>-th block; returns the number of pairs found.</summary>
    long Find(ref Job job, float floor, int stride)
    {
        job.Floor = floor;
        job.Stride = stride;
        for (int i = 0; i < _pool.Threads; i++)
        {
            _found[i].Count = 0;
        }

        int tasks = (job.Blocks + stride - 1) / stride;
        fixed (Job* state = &job)
        {
            switch (_path)
            {
                case CpuPath.Avx512:
                    _pool.Run(tasks, &Encode<MatmulAvx512F32>, state);
                    break;
                case CpuPath.Avx2:
                    _pool.Run(tasks, &Encode<MatmulAvx2F32>, state);
                    break;
                default:
                    _pool.Run(tasks, &Encode<MatmulVectorF32>, state);
                    break;
            }
        }

        long found = 0;
        for (int i = 0; i < _pool.Threads; i++)
        {
            found += _found[i].Count;
        }

        return found;
    }

    static void Encode<T>(void* state, int task, int worker)
        where T : ITile
    {
        Job* job = (Job*)state;
        int block = task * job->Stride;
        int first = block * BlockLatents;
        int latents = Math.Min(BlockLatents, job->Latents - first);
        nint width = job->Width;
        float* z = job->Block + (nint)worker * BlockLatents * width;
        for (int j = 0; j < latents; j++)
        {
            new Span<float>(z + j * width, job->Width).Fill(job->Bias[first + j]);
        }

        for (int p = 0; p < job->PanelCount; p++)
        {
            float* panel = job->Panels + (nint)p * T.Columns * job->Depth;
            for (int k = 0; k < job->Depth; k += T.Depth)
            {
                int depth = Math.Min(T.Depth, job->Depth - k);
                for (int j = 0; j < latents; j += T.Rows)
                {
                    float* w = job->W + (first + j) * job->WStride + k;
                    T.Run(depth, w, job->WStride, Math.Min(T.Rows, latents - j), panel + (nint)k * T.Columns, z + j * width + p * T.Columns, width, true);
                }
            }
        }

        Found* found = job->Found + worker;
        job->Places[block] = new Place { Worker = worker, Offset = found->Count };
        for (int j = 0; j < latents; j++)
        {
            found->Reserve(job->Tokens);
            float scale = job->Unscaled ? 1 : job->Scale[first + j];
            float floor = job->FloorEach == null ? job->Floor : MathF.BitIncrement(Math.Max(0, job->FloorEach[first + j]));
            job->Counts[first + j] = Scan(z + j * width, job->Tokens, scale, floor, found->Tokens + found->Count, found->Values + found->Count);
            found->Count += job->Counts[first + j];
        }
    }

    /// <summary>Appends the tokens whose z·scale reaches the floor; returns how many.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    static int Scan(float* z, int tokens, float scale, float floor, int* foundTokens, float* foundValues)
    {
        int count = 0, t = 0;
        Vector256<float> s = Vector256.Create(scale), f = Vector256.Create(floor);
        for (; t <= tokens - 32; t += 32)
        {
            uint hits = Vector256.GreaterThanOrEqual(Vector256.Load(z + t) * s, f).ExtractMostSignificantBits()
                | (Vector256.GreaterThanOrEqual(Vector256.Load(z + t + 8) * s, f).ExtractMostSignificantBits() << 8)
                | (Vector256.GreaterThanOrEqual(Vector256.Load(z + t + 16) * s, f).ExtractMostSignificantBits() << 16)
                | (Vector256.GreaterThanOrEqual(Vector256.Load(z + t + 24) * s, f).ExtractMostSignificantBits() << 24);
            while (hits != 0)
            {
                int token = t + BitOperations.TrailingZeroCount(hits);
                foundTokens[count] = token;
                foundValues[count] = z[token];
                count++;
                hits &= hits - 1;
            }
        }

        for (; t < tokens; t++)
        {
            if (z[t] * scale >= floor)
            {
                foundTokens[count] = t;
                foundValues[count] = z[t];
                count++;
            }
        }

        return count;
    }

    /// <summary>What one worker found, in the order in which it worked.</summary>
    [StructLayout(LayoutKind.Sequential, Size = 128)]
    internal struct Found
    {
        public int* Tokens;
        public float* Values;
        public nint Count;
        public nint Capacity;

        public void Reserve(int more)
        {
            if (Count + more <= Capacity)
            {
                return;
            }

            Capacity = Math.Max(Count + more, Capacity * 3 / 2 + 4096);
            Tokens = (int*)NativeMemory.Realloc(Tokens, (nuint)Capacity * sizeof(int));
            Values = (float*)NativeMemory.Realloc(Values, (nuint)Capacity * sizeof(float));
        }
    }

    /// <summary>Where a block's pairs lie.</summary>
    internal struct Place
    {
        public nint Worker;
        public nint Offset;
    }

    struct Job
    {
        public float* W;
        public nint WStride;
        public float* Bias;
        public float* Scale;
        public bool Unscaled;
        public int Depth;
        public int Latents;
        public int Tokens;
        public float* Panels;
        public int PanelCount;
        public float* Block;
        public int Width;
        public int Blocks;
        public int Stride;
        public float Floor;

        /// <summary>[L]: what a pair's q must exceed, in place of the floor; null when one floor serves all.</summary>
        public float* FloorEach;
        public int* Counts;
        public Place* Places;
        public Found* Found;

        public readonly FoundPairs View() => new()
        {
            Latents = Latents,
            BlockLatents = BlockLatents,
            Blocks = Blocks,
            Stride = Stride,
            Counts = Counts,
            Places = Places,
            Found = Found,
            Scale = Scale,
        };
    }

    /// <summary>The pairs that lie in the workers' lists, block by block.</summary>
    internal struct FoundPairs
    {
        public int Latents;
        public int BlockLatents;
        public int Blocks;
        public int Stride;

        /// <summary>[L]: pairs of each latent.</summary>
        public int* Counts;
        public Place* Places;
        public Found* Found;
        public float* Scale;
    }
}
