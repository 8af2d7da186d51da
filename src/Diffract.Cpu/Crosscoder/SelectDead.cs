using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Cpu.Matmul;
using Diffract.Cpu.Threads;

namespace Diffract.Cpu.Crosscoder;

/// <summary>
/// Per token the few largest q = p·s among some latents, positive p only. The rows of those latents are gathered, encoded densely, and each token's row is cut
/// at its own threshold.
/// </summary>
sealed unsafe class SelectDead(WorkerPool pool, MatrixProduct product, CodeOrders orders) : IDisposable
{
    const int TokensPerTask = 4;
    const int LatentsPerTask = 16;

    HostBuffer _weights = new(ElementType.Float32, 16);
    HostBuffer _biases = new(ElementType.Float32, 16);
    HostBuffer _scales = new(ElementType.Float32, 16);
    HostBuffer _codes = new(ElementType.Float32, 16);
    HostBuffer _keys = new(ElementType.Int32, 16);
    HostBuffer _latents = new(ElementType.Int32, 16);
    HostBuffer _values = new(ElementType.Float32, 16);
    HostBuffer _tokens = new(ElementType.Int32, 16);

    public void Dispose()
    {
        _weights.Dispose();
        _biases.Dispose();
        _scales.Dispose();
        _codes.Dispose();
        _keys.Dispose();
        _latents.Dispose();
        _values.Dispose();
        _tokens.Dispose();
    }

    public void Run(Matrix acts_BE, Matrix wEnc_LE, Matrix bEnc_L, Matrix scale_L, ReadOnlySpan<int> latents, int perToken, SparseCode code)
    {
        int tokens = acts_BE.Rows, some = latents.Length, width = wEnc_LE.Columns;
        Matrix weights_NE = new(Scratch.Grow(ref _weights, (long)some * width), some, width, width);
        Matrix biases_N = new(Scratch.Grow(ref _biases, some), 1, some, some);
        Matrix codes_BN = new(Scratch.Grow(ref _codes, (long)tokens * some), tokens, some, some);
        fixed (int* list = latents)
        {
            Job job = new()
            {
                Latents = list,
                Count = some,
                PerToken = perToken,
                Tokens = tokens,
                W = wEnc_LE.Floats,
                WStride = wEnc_LE.Stride,
                Width = width,
                Bias = bEnc_L.Floats,
                Scale = scale_L.Floats,
                Weights = weights_NE.Floats,
                Biases = biases_N.Floats,
                Scales = Scratch.Grow(ref _scales, some).Floats,
                Codes = codes_BN.Floats,
                Keys = (uint*)Scratch.Grow(ref _keys, (long)pool.Threads * some).Ints,
                Start = code.TokenStart.Ints,
            };
            pool.Run((some + LatentsPerTask - 1) / LatentsPerTask, &Gather, &job);
            product.TimesTransposed(acts_BE, weights_NE, codes_BN, biases_N);
            pool.Run((tokens + TokensPerTask - 1) / TokensPerTask, &Cut, &job);
            Collect(ref job, wEnc_LE.Rows, code);
        }
    }

    /// <summary>From the rows with their counts to a code in both orders.</summary>
    void Collect(ref Job job, int latents, SparseCode code)
    {
        int* start = code.TokenStart.Ints;
        int sum = 0;
        for (int b = 0; b < job.Tokens; b++)
        {
            int count = start[b];
            start[b] = sum;
            sum = checked(sum + count);
        }

        start[job.Tokens] = sum;
        code.Tokens = job.Tokens;
        code.Pairs = sum;
        code.Reserve(sum);
        job.PairLatent = Scratch.Grow(ref _latents, sum).Ints;
        job.PairValue = Scratch.Grow(ref _values, sum).Floats;
        fixed (Job* state = &job)
        {
            pool.Run((job.Tokens + TokensPerTask - 1) / TokensPerTask, &List, state);
        }

        // Latent-major from token-major, and then the token-major side from that, as for every other code.
        int* place = Scratch.Grow(ref _tokens, sum).Ints;
        orders.Turn(job.Tokens, start, job.PairLatent, latents, code.LatentStart.Ints, code.PairToken.Ints, place);
        float least = float.PositiveInfinity;
        float* values = code.PairValue.Floats;
        for (int i = 0; i < sum; i++)
        {
            values[i] = job.PairValue[place[i]];
            least = Math.Min(least, values[i] * job.Scale[job.PairLatent[place[i]]]);
        }

        code.SmallestScaled = sum == 0 ? 0 : least;
        orders.TokensFromLatents(code);
    }

    static void Gather(void* state, int task, int worker)
    {
        Job* job = (Job*)state;
        int end = Math.Min(job->Count, (task + 1) * LatentsPerTask);
        for (int i = task * LatentsPerTask; i < end; i++)
        {
            int j = job->Latents[i];
            new ReadOnlySpan<float>(job->W + j * job->WStride, job->Width).CopyTo(new Span<float>(job->Weights + (nint)i * job->Width, job->Width));
            job->Biases[i] = job->Bias[j];
            job->Scales[i] = job->Scale[j];
        }
    }

    /// <summary>Sets to 0 what a token does not keep, and counts what it keeps.</summary>
    static void Cut(void* state, int task, int worker)
    {
        Job* job = (Job*)state;
        Span<uint> keys = new(job->Keys + (nint)worker * job->Count, job->Count);
        int end = Math.Min(job->Tokens, (task + 1) * TokensPerTask);
        for (int b = task * TokensPerTask; b < end; b++)
        {
            float* row = job->Codes + (nint)b * job->Count;
            int positive = 0;
            for (int i = 0; i < job->Count; i++)
            {
                if (row[i] > 0)
                {
                    keys[positive++] = BitConverter.SingleToUInt32Bits(row[i] * job->Scales[i]);
                }
                else
                {
                    row[i] = 0;
                }
            }

            if (positive > job->PerToken)
            {
                KeepLargest(job, row, keys[..positive]);
                positive = Math.Max(0, job->PerToken);
            }

            job->Start[b] = positive;
        }
    }

    static void KeepLargest(Job* job, float* row, Span<uint> keys)
    {
        (uint cut, int ties) = job->PerToken <= 0 ? (uint.MaxValue, 0) : Largest(keys, job->PerToken);
        for (int i = 0; i < job->Count; i++)
        {
            if (row[i] > 0)
            {
                uint key = BitConverter.SingleToUInt32Bits(row[i] * job->Scales[i]);
                bool keep = key > cut || (key == cut && ties-- > 0);
                row[i] = keep ? row[i] : 0;
            }
        }
    }

    /// <summary>
    /// The rank-th largest key, and how many keys equal to it are among the rank largest. The keys are used up. One pass counts by the top bits,
    /// the few keys of the bin that decides are halved bit by bit.
    /// </summary>
    static (uint Cut, int Ties) Largest(Span<uint> keys, int rank)
    {
        const int Shift = 20;
        Span<int> bins = stackalloc int[1 << (31 - Shift)];
        bins.Clear();
        foreach (uint key in keys)
        {
            bins[(int)(key >> Shift)]++;
        }

        int bin = bins.Length - 1;
        for (; bin > 0 && bins[bin] < rank; bin--)
        {
            rank -= bins[bin];
        }

        int some = 0;
        for (int i = 0; i < keys.Length; i++)
        {
            uint key = keys[i];
            keys[some] = key;
            some += key >> Shift == bin ? 1 : 0;
        }

        keys = keys[..some];
        for (uint bit = 1u << (Shift - 1); bit != 0 && keys.Length > 1; bit >>= 1)
        {
            // Keys with the bit set first.
            int set = 0;
            for (int i = 0; i < keys.Length; i++)
            {
                if ((keys[i] & bit) != 0)
                {
                    (keys[set], keys[i]) = (keys[i], keys[set]);
                    set++;
                }
            }

            if (set >= rank)
            {
                keys = keys[..set];
            }
            else
            {
                rank -= set;
                keys = keys[set..];
            }
        }

        return (keys[0], rank);
    }

    static void List(void* state, int task, int worker)
    {
        Job* job = (Job*)state;
        int end = Math.Min(job->Tokens, (task + 1) * TokensPerTask);
        for (int b = task * TokensPerTask; b < end; b++)
        {
            float* row = job->Codes + (nint)b * job->Count;
            int target = job->Start[b];
            for (int i = 0; i < job->Count; i++)
            {
                if (row[i] > 0)
                {
                    job->PairLatent[target] = job->Latents[i];
                    job->PairValue[target] = row[i];
                    target++;
                }
            }
        }
    }

    struct Job
    {
        public int* Latents;
        public int Count;
        public int PerToken;
        public int Tokens;
        public float* W;
        public nint WStride;
        public int Width;
        public float* Bias;
        public float* Scale;
        public float* Weights;
        public float* Biases;
        public float* Scales;
        public float* Codes;
        public uint* Keys;
        public int* Start;
        public int* PairLatent;
        public float* PairValue;
    }
}
