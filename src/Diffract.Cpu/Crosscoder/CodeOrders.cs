using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Cpu.Threads;

namespace Diffract.Cpu.Crosscoder;

/// <summary>
/// Turns pairs sorted by one index into the order of the other: a counting sort, stable, so that the first index ascends within the second.
/// The outer index is cut into a few stretches that count and place on their own.
/// </summary>
sealed unsafe class CodeOrders(WorkerPool pool) : IDisposable
{
    /// <summary>Below this many pairs one thread is as fast.</summary>
    const int Worthwhile = 8_000;

    HostBuffer _counts = new(ElementType.Int32, 16);

    public void Dispose() => _counts.Dispose();

    /// <summary>Writes the token-major side of a code from its latent-major side.</summary>
    public void TokensFromLatents(SparseCode code)
        => Turn(
            code.Latents, code.LatentStart.Ints, code.PairToken.Ints, code.Tokens, code.TokenStart.Ints, code.TokenLatent.Ints, code.TokenPairs.Ints);

    /// <param name="outer">Size of the index that the pairs are sorted by.</param>
    /// <param name="start">[outer + 1].</param>
    /// <param name="index">[pairs]: the other index of each pair.</param>
    /// <param name="inner">Size of the other index.</param>
    /// <param name="turnedStart">[inner + 1], written.</param>
    /// <param name="turnedIndex">[pairs], written: the outer index of each turned pair.</param>
    /// <param name="place">[pairs], written: where each turned pair lay.</param>
    public void Turn(int outer, int* start, int* index, int inner, int* turnedStart, int* turnedIndex, int* place)
    {
        int stretches = start[outer] < Worthwhile ? 1 : Math.Min(4 * pool.Threads, outer);
        Scratch.Grow(ref _counts, (long)stretches * inner);

        Job job = new()
        {
            Outer = outer,
            Start = start,
            Index = index,
            Inner = inner,
            TurnedIndex = turnedIndex,
            Place = place,
            Counts = _counts.Ints,
            Stretches = stretches,
        };
        pool.Run(stretches, &Count, &job);
        int sum = 0;
        for (int i = 0; i < inner; i++)
        {
            turnedStart[i] = sum;
            for (int s = 0; s < stretches; s++)
            {
                int* count = job.Counts + (nint)s * inner + i;
                int here = *count;
                *count = sum;
                sum += here;
            }
        }

        turnedStart[inner] = sum;
        pool.Run(stretches, &Put, &job);
    }

    static (int First, int End) Stretch(Job* job, int task)
        => ((int)((long)job->Outer * task / job->Stretches), (int)((long)job->Outer * (task + 1) / job->Stretches));

    static void Count(void* state, int task, int worker)
    {
        Job* job = (Job*)state;
        int* counts = job->Counts + (nint)task * job->Inner;
        new Span<int>(counts, job->Inner).Clear();
        (int first, int end) = Stretch(job, task);
        for (int i = job->Start[first]; i < job->Start[end]; i++)
        {
            counts[job->Index[i]]++;
        }
    }

    static void Put(void* state, int task, int worker)
    {
        Job* job = (Job*)state;
        int* next = job->Counts + (nint)task * job->Inner;
        (int first, int end) = Stretch(job, task);
        for (int o = first; o < end; o++)
        {
            for (int i = job->Start[o]; i < job->Start[o + 1]; i++)
            {
                int target = next[job->Index[i]]++;
                job->TurnedIndex[target] = o;
                job->Place[target] = i;
            }
        }
    }

    struct Job
    {
        public int Outer;
        public int* Start;
        public int* Index;
        public int Inner;
        public int* TurnedIndex;
        public int* Place;
        public int* Counts;
        public int Stretches;
    }
}
