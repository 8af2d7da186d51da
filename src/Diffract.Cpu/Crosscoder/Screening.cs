using System.Runtime.InteropServices;
using System.Runtime.Intrinsics.X86;
using Diffract.Compute.Buffers;
using Diffract.Cpu.Matmul;
using Diffract.Cpu.Threads;

namespace Diffract.Cpu.Crosscoder;

/// <summary>
/// The integer pass before the float32 one: <see cref="EncodeScreen"/> finds every pair that may reach the floor, <see cref="Rescore"/> computes those that matter. Weights
/// are quantised block by block as they are used: nothing is kept from call to call. Where bounds cannot be had (infinities, NaN, sums that could overflow float32) the
/// call is answered in float32.
/// </summary>
sealed unsafe class Screening : IDisposable
{
    /// <summary>Below this width or batch the quantising costs what the integers save.</summary>
    const int LeastDepth = 64;
    const int LeastTokens = 128;

    /// <summary>Rescoring a pair costs about what screening saves on sixty (measured on AVX2): where more than this share passes, the next calls are not screened.</summary>
    const double LargestShare = 0.0125;
    const int CallsWithout = 32;

    readonly CpuPath _path;
    readonly ScreeningMode _mode;
    readonly WorkerPool _pool;
    readonly ScreenJob* _job;
    HostBuffer _panels = new(ElementType.Int32, 16);
    HostBuffer _tokens = new(ElementType.Float32, 16);
    HostBuffer _rows = new(ElementType.Int32, 16);
    HostBuffer _highs = new(ElementType.Float32, 16);
    int _without;

    public Screening(CpuPath path, ScreeningMode mode, WorkerPool pool)
    {
        _path = path;
        _mode = mode;
        _pool = pool;
        _job = (ScreenJob*)NativeMemory.AllocZeroed(1, (nuint)sizeof(ScreenJob));
        _job->Workers = (ScreenWorker*)NativeMemory.AllocZeroed((nuint)pool.Threads, (nuint)sizeof(ScreenWorker));
    }

    public void Dispose()
    {
        NativeMemory.Free(_job->Workers);
        NativeMemory.Free(_job);
        _panels.Dispose();
        _tokens.Dispose();
        _rows.Dispose();
        _highs.Dispose();
    }

    /// <summary>Whether a call of this shape is to be screened, given that about this many pairs will be rescored (-1: not known).</summary>
    public bool Wanted(in EncodeJob job, long pairs)
    {
        if (_mode != ScreeningMode.Auto)
        {
            return _mode == ScreeningMode.On;
        }

        bool faster = _path switch
        {
            CpuPath.Avx512 => Avx512BW.IsSupported,
            CpuPath.Avx2 => true,
            _ => false,
        };
        if (!faster || job.Depth < LeastDepth || job.Tokens < LeastTokens || pairs > LargestShare * job.Tokens * job.Latents)
        {
            return false;
        }

        return _without-- <= 0;
    }

    /// <summary>Quantises the activations. To be called once for a batch; the job is then screened.</summary>
    public void Begin(ref EncodeJob job, int columns)
    {
        ScreenJob* s = _job;
        s->Pairs = (job.Depth + 1) / 2;
        s->Columns = columns;
        long padded = (long)job.PanelCount * columns;
        s->Panels = Scratch.Grow(ref _panels, padded * s->Pairs).Ints;
        s->TokenScale = Scratch.Grow(ref _tokens, 3 * padded).Floats;
        s->TokenNorm = s->TokenScale + padded;
        s->TokenResidual = s->TokenNorm + padded;
        s->LatentRows = Scratch.Grow(ref _rows, (long)_pool.Threads * (EncodeJob.BlockLatents + columns) * s->Pairs).Ints;
        s->TokenRows = s->LatentRows + (long)_pool.Threads * EncodeJob.BlockLatents * s->Pairs;
        s->BinHighs = Scratch.Grow(ref _highs, (long)_pool.Threads * EncodeJob.BlockLatents * job.BinRoom).Floats;
        new Span<ScreenWorker>(s->Workers, _pool.Threads).Clear();
        job.Screen = s;
        fixed (EncodeJob* state = &job)
        {
            _pool.Run(job.PanelCount, &EncodeScreen.Pack, state);
        }
    }

    /// <summary>Looks at all blocks: the number of pairs that surely reach the floor, or null where the call has to be answered in float32.</summary>
    public long? Find(ref EncodeJob job)
    {
        Span<ScreenWorker> workers = new(_job->Workers, _pool.Threads);
        foreach (ref ScreenWorker worker in workers)
        {
            worker.Sure = 0;
        }

        fixed (EncodeJob* state = &job)
        {
            switch (_path)
            {
                case CpuPath.Avx512:
                    _pool.Run(job.Blocks, &EncodeScreen.Run<MatmulAvx512I16>, state);
                    break;
                case CpuPath.Avx2:
                    _pool.Run(job.Blocks, &EncodeScreen.Run<MatmulAvx2I16>, state);
                    break;
                default:
                    _pool.Run(job.Blocks, &EncodeScreen.Run<MatmulVectorI16>, state);
                    break;
            }
        }

        ScreenWorker sum = default;
        foreach (ScreenWorker worker in workers)
        {
            sum.NotFinite |= worker.NotFinite;
            sum.Sure += worker.Sure;
            sum.TokenNorm = Math.Max(sum.TokenNorm, worker.TokenNorm);
            sum.LatentNorm = Math.Max(sum.LatentNorm, worker.LatentNorm);
            sum.Bias = Math.Max(sum.Bias, worker.Bias);
        }

        // No partial sum of the float32 chain may overflow.
        bool bounded = sum.NotFinite == 0 && sum.TokenNorm * sum.LatentNorm + sum.Bias < 1e38;
        return bounded ? sum.Sure : null;
    }

    /// <summary>Gives the pairs whose q can reach <paramref name="cut"/> and reaches the floor their exact p, and drops the others; returns how many are left.</summary>
    public long Settle(ref EncodeJob job, float cut)
    {
        _job->Cut = cut;
        fixed (EncodeJob* state = &job)
        {
            _pool.Run(job.Blocks, &Rescore.Run, state);
        }

        long left = 0;
        for (int j = 0; j < job.Latents; j++)
        {
            left += job.Counts[j];
        }

        _without = left > LargestShare * job.Tokens * job.Latents ? CallsWithout : 0;
        return left;
    }
}
