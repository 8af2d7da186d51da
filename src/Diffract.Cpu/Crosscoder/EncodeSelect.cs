using System.Runtime.InteropServices;
using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Cpu.Matmul;
using Diffract.Cpu.Threads;

namespace Diffract.Cpu.Crosscoder;

/// <summary>
/// p = ReLU(acts · wEncᵀ + bEnc), scanned block by block and thrown away: only pairs with p·s at or above a floor are kept.
/// A block is a few latents by all tokens, so that what is found is latent-major. Each worker appends to a list of its own; the blocks remember where.
/// For BatchTopK the floor is a guess from the cut of the code's last batch: exact whatever the guess, because a guess that was too high shows as too few pairs
/// and is lowered. Where it pays, the pairs are looked for in 16-bit integers first (<see cref="Screening"/>); the result has the same bits.
/// </summary>
sealed unsafe class EncodeSelect : IDisposable
{
    /// <summary>One block in this many is looked at when there is no earlier cut to start from.</summary>
    const int SampleStride = 16;

    readonly CpuPath _path;
    readonly WorkerPool _pool;
    readonly MatrixProduct _product;
    readonly FoundPairs.Found* _found;
    readonly BatchTopK _topK;
    readonly CodeOrders _orders;
    readonly Screening _screening;
    HostBuffer _panels = new(ElementType.Float32, 16);
    HostBuffer _tile = new(ElementType.Float32, 16);
    HostBuffer _binTokens = new(ElementType.Int32, 16);
    HostBuffer _binValues = new(ElementType.Float32, 16);
    HostBuffer _places = new(ElementType.Int32, 16);
    HostBuffer _counts = new(ElementType.Int32, 16);
    Matrix _acts_BE;

    /// <summary>How far the cut moves from batch to batch, relative to itself: a running mean.</summary>
    double _spread = 0.04;

    public EncodeSelect(CpuPath path, ScreeningMode screening, WorkerPool pool, MatrixProduct product, CodeOrders orders)
    {
        _path = path;
        _pool = pool;
        _product = product;
        _orders = orders;
        _topK = new BatchTopK(pool);
        _screening = new Screening(path, screening, pool);
        _found = (FoundPairs.Found*)NativeMemory.AllocZeroed((nuint)pool.Threads, (nuint)sizeof(FoundPairs.Found));
    }

    public void Run(Matrix acts_BE, Matrix wEnc_LE, Matrix bEnc_L, Matrix scale_L, Selection selection, SparseCode code)
    {
        EncodeJob job = Prepare(acts_BE, wEnc_LE, bEnc_L, scale_L);
        _acts_BE = acts_BE;
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
            FindAll(ref job, 0, -1);
            Settle(ref job, 0);
            _topK.KeepAll(job.View(), code);
        }
        else
        {
            // q > T ≥ 0 is q ≥ the next float; below 0, and for Positive, what counts is p > 0.
            bool scaled = selection.Rule == SelectionRule.Threshold && selection.Threshold >= 0;
            job.Unscaled = !scaled;
            FindAll(ref job, scaled ? MathF.BitIncrement(selection.Threshold) : float.Epsilon, -1);
            Settle(ref job, 0);
            _topK.KeepAll(job.View(), code);
        }

        _orders.TokensFromLatents(code);
    }

    public void Dispose()
    {
        for (int i = 0; i < _pool.Threads; i++)
        {
            _found[i].Free();
        }

        NativeMemory.Free(_found);
        _panels.Dispose();
        _tile.Dispose();
        _binTokens.Dispose();
        _binValues.Dispose();
        _places.Dispose();
        _counts.Dispose();
        _topK.Dispose();
        _screening.Dispose();
    }

    void SelectLargest(ref EncodeJob job, int wanted, SparseCode code)
    {
        if (wanted <= 0)
        {
            new Span<int>(job.Counts, job.Latents).Clear();
            new Span<FoundPairs.Place>(job.Places, job.Blocks).Clear();
            _topK.KeepAll(job.View(), code);
            return;
        }

        // Where fewer were positive in the last batch than are wanted now, its smallest is no cut to begin below.
        float last = code.Pairs < wanted ? 0 : code.SmallestScaled;
        float floor = Guess(ref job, wanted, last);
        long found = FindAll(ref job, floor, wanted);
        for (int attempt = 1; found < wanted && floor > float.Epsilon; attempt++)
        {
            _spread = Math.Min(0.16, 2 * _spread);
            floor = attempt < 3 ? Math.Max(floor * 0.5f, float.Epsilon) : float.Epsilon;
            found = FindAll(ref job, floor, wanted);
        }

        if (job.Screen != null)
        {
            // At least as many q as wanted lie at or above the cut of the lower bounds.
            found = Settle(ref job, found > wanted ? _topK.Cut(job.View(), wanted).Cut : floor);
        }

        if (found <= wanted)
        {
            _topK.KeepAll(job.View(), code);
        }
        else
        {
            _topK.KeepLargest(job.View(), wanted, code);
        }

        if (last > 0 && code.SmallestScaled > 0)
        {
            double moved = Math.Min(0.2, Math.Abs(code.SmallestScaled / (double)last - 1));
            _spread += (moved - _spread) * (moved > _spread ? 0.3 : 0.05);
        }
    }

    /// <summary>A floor that should lie a little below the cut.</summary>
    float Guess(ref EncodeJob job, int wanted, float lastCut)
    {
        if (lastCut > 0)
        {
            // Too low costs a few pairs that are looked at for nothing; too high, the whole product once more.
            return Math.Max((float)(lastCut * (1 - Math.Max(0.015, 4 * _spread))), float.Epsilon);
        }

        if (job.Blocks < 2 * SampleStride || wanted >= (long)job.Tokens * job.Latents / 4)
        {
            return float.Epsilon;
        }

        long found = Find(ref job, float.Epsilon, SampleStride);
        long rank = (long)(1.3 * wanted / SampleStride) + 64;
        return found <= rank ? float.Epsilon : _topK.Cut(job.View(), rank).Cut;
    }

    EncodeJob Prepare(Matrix acts_BE, Matrix wEnc_LE, Matrix bEnc_L, Matrix scale_L)
    {
        int columns = _product.PanelColumns;
        int panels = (acts_BE.Rows + columns - 1) / columns;
        int blocks = (wEnc_LE.Rows + EncodeJob.BlockLatents - 1) / EncodeJob.BlockLatents;
        // 16 more than the tokens: bins a power of two apart would share the same few cache sets.
        int room = acts_BE.Rows + 16;
        long bins = (long)_pool.Threads * EncodeJob.BlockLatents;
        return new EncodeJob
        {
            W = wEnc_LE.Floats,
            WStride = wEnc_LE.Stride,
            Bias = bEnc_L.Floats,
            Scale = scale_L.Floats,
            Depth = acts_BE.Columns,
            Latents = wEnc_LE.Rows,
            Tokens = acts_BE.Rows,
            Acts = acts_BE.Floats,
            ActsStride = acts_BE.Stride,
            PanelCount = panels,
            Tile = Scratch.Grow(ref _tile, 2 * bins * columns).Floats,
            BinTokens = Scratch.Grow(ref _binTokens, bins * room).Ints,
            BinValues = Scratch.Grow(ref _binValues, bins * room).Floats,
            BinRoom = room,
            Blocks = blocks,
            Places = (FoundPairs.Place*)Scratch.Grow(ref _places, (long)blocks * sizeof(FoundPairs.Place) / sizeof(int)).Pointer,
            Lists = _found,
        };
    }

    /// <summary>Looks at all blocks, screened or not; returns how many pairs surely reach the floor.</summary>
    /// <param name="job">Left screened if it was: its pairs then need <see cref="Settle"/>.</param>
    /// <param name="floor">Unless the job has one for each latent.</param>
    /// <param name="wanted">Pairs that will be kept; -1 where that is not known.</param>
    long FindAll(ref EncodeJob job, float floor, long wanted)
    {
        job.Floor = floor;
        job.Stride = 1;
        bool above = !job.Unscaled && (job.FloorEach != null || floor > float.Epsilon);
        if (above && (job.Screen != null || _screening.Wanted(job, wanted)))
        {
            Forget();
            if (job.Screen == null)
            {
                _screening.Begin(ref job, _product.PanelColumns);
            }

            if (_screening.Find(ref job) is { } sure)
            {
                return sure;
            }
        }

        job.Screen = null;
        return Find(ref job, floor, stride: 1);
    }

    /// <summary>In a screened job: exact values for the pairs that can reach the cut and do reach the floor.</summary>
    long Settle(ref EncodeJob job, float cut) => job.Screen == null ? 0 : _screening.Settle(ref job, cut);

    /// <summary>Looks at every <paramref name="stride"/>-th block in float32; returns the number of pairs found.</summary>
    long Find(ref EncodeJob job, float floor, int stride)
    {
        job.Floor = floor;
        job.Stride = stride;
        if (job.Panels == null)
        {
            HostBuffer packed = Scratch.Grow(ref _panels, (long)job.PanelCount * _product.PanelColumns * job.Depth);
            _product.PackRows(_acts_BE, packed);
            job.Panels = packed.Floats;
        }


        Forget();
        int tasks = (job.Blocks + stride - 1) / stride;
        fixed (EncodeJob* state = &job)
        {
            switch (_path)
            {
                case CpuPath.Avx512:
                    _pool.Run(tasks, &EncodeTiles.Run<MatmulAvx512F32>, state);
                    break;
                case CpuPath.Avx2:
                    _pool.Run(tasks, &EncodeTiles.Run<MatmulAvx2F32>, state);
                    break;
                default:
                    _pool.Run(tasks, &EncodeTiles.Run<MatmulVectorF32>, state);
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

    void Forget()
    {
        for (int i = 0; i < _pool.Threads; i++)
        {
            _found[i].Count = 0;
        }
    }
}
