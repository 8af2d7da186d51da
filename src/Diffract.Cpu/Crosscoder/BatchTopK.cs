using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Cpu.Threads;

namespace Diffract.Cpu.Crosscoder;

/// <summary>
/// Exact selection of the largest q = p·s among the pairs that the encoder found, into a code in latent-major order. The cut is found by three passes of counting
/// over the bits of q, which for positive floats are in the order of the numbers. Pairs equal to the cut are taken in latent-major order until the count is full.
/// </summary>
sealed unsafe class BatchTopK(WorkerPool pool) : IDisposable
{
    const int Bins = 4096;

    readonly HostBuffer _histograms = new(ElementType.Int32, (long)pool.Threads * Bins);
    readonly HostBuffer _smallest = new(ElementType.Float32, pool.Threads);
    HostBuffer _ties = new(ElementType.Int32, 16);

    public void Dispose()
    {
        _histograms.Dispose();
        _smallest.Dispose();
        _ties.Dispose();
    }

    /// <summary>Every pair that was found.</summary>
    public void KeepAll(FoundPairs pairs, SparseCode code)
    {
        int* start = code.LatentStart.Ints;
        start[0] = 0;
        for (int j = 0; j < pairs.Latents; j++)
        {
            start[j + 1] = checked(start[j] + pairs.Counts[j]);
        }

        Job job = new() { Pairs = pairs, Cut = 0, All = true };
        Write(ref job, code);
    }

    /// <summary>The <paramref name="wanted"/> largest; there are more than that.</summary>
    public void KeepLargest(FoundPairs pairs, int wanted, SparseCode code)
    {
        (float cut, long above) = Cut(pairs, wanted);
        Scratch.Grow(ref _ties, 2L * pairs.Latents);

        Job job = new() { Pairs = pairs, Cut = cut, Ties = _ties.Ints, Above = _ties.Ints + pairs.Latents };
        pool.Run(pairs.Blocks, &Count, &job);

        // The pairs at the cut that still fit, in the order of the latents.
        long left = wanted - above;
        int* start = code.LatentStart.Ints;
        start[0] = 0;
        for (int j = 0; j < pairs.Latents; j++)
        {
            int ties = (int)Math.Min(left, job.Ties[j]);
            job.Ties[j] = ties;
            left -= ties;
            start[j + 1] = start[j] + job.Above[j] + ties;
        }

        Write(ref job, code);
    }

    /// <summary>The <paramref name="rank"/>-th largest q, and how many pairs are strictly above it. There are at least that many pairs.</summary>
    public (float Cut, long Above) Cut(FoundPairs pairs, long rank)
    {
        // 12, 12 and 7 bits of the 31 that a positive float has.
        ReadOnlySpan<int> shifts = [19, 7, 0];
        uint prefix = 0;
        long above = 0;
        int known = 31;
        int tasks = (pairs.Blocks + pairs.Stride - 1) / pairs.Stride;
        foreach (int shift in shifts)
        {
            Span<int> all = _histograms.Span<int>();
            all.Clear();
            Job job = new() { Pairs = pairs, Histograms = _histograms.Ints, Shift = shift, Known = known, Prefix = prefix };
            pool.Run(tasks, &Tally, &job);
            int bin = Bins - 1;
            for (; bin > 0; bin--)
            {
                long here = 0;
                for (int worker = 0; worker < pool.Threads; worker++)
                {
                    here += all[worker * Bins + bin];
                }

                if (above + here >= rank)
                {
                    break;
                }

                above += here;
            }

            prefix = (prefix << (known - shift)) | (uint)bin;
            known = shift;
        }

        return (BitConverter.UInt32BitsToSingle(prefix), above);
    }

    static void Tally(void* state, int task, int worker)
    {
        Job* job = (Job*)state;
        int* histogram = job->Histograms + worker * Bins;
        int block = task * job->Pairs.Stride;
        int first = block * job->Pairs.BlockLatents;
        int end = Math.Min(job->Pairs.Latents, first + job->Pairs.BlockLatents);
        FoundPairs.Place place = job->Pairs.Places[block];
        float* values = job->Pairs.Lists[place.Worker].Values + place.Offset;
        uint mask = (1u << (job->Known - job->Shift)) - 1;
        for (int j = first; j < end; j++)
        {
            float scale = job->Pairs.Scale[j];
            for (int i = 0; i < job->Pairs.Counts[j]; i++)
            {
                uint bits = BitConverter.SingleToUInt32Bits(*values++ * scale);
                if (bits >> job->Known == job->Prefix)
                {
                    histogram[(bits >> job->Shift) & mask]++;
                }
            }
        }
    }

    static void Count(void* state, int block, int worker)
    {
        Job* job = (Job*)state;
        int first = block * job->Pairs.BlockLatents;
        int end = Math.Min(job->Pairs.Latents, first + job->Pairs.BlockLatents);
        FoundPairs.Place place = job->Pairs.Places[block];
        float* values = job->Pairs.Lists[place.Worker].Values + place.Offset;
        for (int j = first; j < end; j++)
        {
            float scale = job->Pairs.Scale[j];
            int above = 0, ties = 0;
            for (int i = 0; i < job->Pairs.Counts[j]; i++)
            {
                float q = *values++ * scale;
                above += q > job->Cut ? 1 : 0;
                ties += q == job->Cut ? 1 : 0;
            }

            job->Above[j] = above;
            job->Ties[j] = ties;
        }
    }

    /// <summary>Copies what is kept; LatentStart is known.</summary>
    void Write(ref Job job, SparseCode code)
    {
        int* start = code.LatentStart.Ints;
        int kept = start[job.Pairs.Latents];
        code.Reserve(kept);
        code.Pairs = kept;
        job.Start = start;
        job.Token = code.PairToken.Ints;
        job.Value = code.PairValue.Floats;
        job.Smallest = _smallest.Floats;
        Span<float> smallest = _smallest.Span<float>();
        smallest.Fill(float.PositiveInfinity);
        fixed (Job* state = &job)
        {
            pool.Run(job.Pairs.Blocks, &Copy, state);
        }

        float least = float.PositiveInfinity;
        foreach (float q in smallest)
        {
            least = Math.Min(least, q);
        }

        code.SmallestScaled = kept == 0 ? 0 : least;
    }

    static void Copy(void* state, int block, int worker)
    {
        Job* job = (Job*)state;
        int first = block * job->Pairs.BlockLatents;
        int end = Math.Min(job->Pairs.Latents, first + job->Pairs.BlockLatents);
        FoundPairs.Place place = job->Pairs.Places[block];
        int* tokens = job->Pairs.Lists[place.Worker].Tokens + place.Offset;
        float* values = job->Pairs.Lists[place.Worker].Values + place.Offset;
        float least = job->Smallest[worker];
        for (int j = first; j < end; j++)
        {
            float scale = job->Pairs.Scale[j];
            int target = job->Start[j];
            int ties = job->All ? 0 : job->Ties[j];
            for (int i = 0; i < job->Pairs.Counts[j]; i++, tokens++, values++)
            {
                float q = *values * scale;
                if (job->All || q > job->Cut || (q == job->Cut && ties-- > 0))
                {
                    job->Token[target] = *tokens;
                    job->Value[target] = *values;
                    target++;
                    least = Math.Min(least, q);
                }
            }
        }

        job->Smallest[worker] = least;
    }

    struct Job
    {
        public FoundPairs Pairs;
        public float Cut;
        public bool All;
        public int* Ties;
        public int* Above;
        public int* Histograms;
        public int Shift;
        public int Known;
        public uint Prefix;
        public int* Start;
        public int* Token;
        public float* Value;
        public float* Smallest;
    }
}
