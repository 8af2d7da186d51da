using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Cpu.Threads;

namespace Diffract.Cpu.Crosscoder;

/// <summary>
/// recon_b = Σ_j f_bj wDec_j + bDec over the active latents of each token: by virtual shard in ascending order of j, the shards by their tree, the bias last. Shards without pairs are left out.
/// In a decoupled code each model's columns sum over the pairs that are active in it. A stack holds the sums of finished subtrees, as a binary counter does; it stays in the first-level cache, since columns are taken some hundred at a time.
/// </summary>
sealed unsafe class Decode(WorkerPool pool) : IDisposable
{
    const int TokensPerTask = 8;

    /// <summary>Columns of a row that are summed at a time.</summary>
    const int Chunk = 512;

    /// <summary>Subtrees that can be open: a tree of 2³¹ leaves has 32 levels.</summary>
    const int Levels = 33;

    HostBuffer _scratch = new(ElementType.Float32, 16);

    public void Dispose() => _scratch.Dispose();

    public void Run(SparseCode code, Matrix wDec_LE, Matrix? bDec_E, Matrix recon_BE)
    {
        int longest = 0;
        int* start = code.TokenStart.Ints;
        for (int b = 0; b < code.Tokens; b++)
        {
            longest = Math.Max(longest, start[b + 1] - start[b]);
        }

        // Per worker: the open sums, the latents and values of a token, its shards (two numbers each).
        int values = (longest + 15) / 16 * 16;
        int room = Levels * Chunk + 4 * values;
        Scratch.Grow(ref _scratch, (long)room * pool.Threads);
        int[] whole = code.ModelOffsets ?? [];
        fixed (int* offsets = whole)
        {
            Job job = new()
            {
                Active = code.ModelOffsets is null ? null : code.PairModels!.Ints,
                Offsets = offsets,
                Models = whole.Length - 1,
                Tokens = code.Tokens,
                Start = start,
                Latent = code.TokenLatent.Ints,
                Place = code.TokenPairs.Ints,
                Value = code.PairValue.Floats,
                ShardSize = code.ShardSize,
                W = wDec_LE.Floats,
                WStride = wDec_LE.Stride,
                Width = wDec_LE.Columns,
                Bias = bDec_E is { } bias ? bias.Floats : null,
                Recon = recon_BE.Floats,
                ReconStride = recon_BE.Stride,
                Scratch = _scratch.Floats,
                Room = room,
                Values = values,
            };
            pool.Run((code.Tokens + TokensPerTask - 1) / TokensPerTask, &Sum, &job);
        }
    }

    static void Sum(void* state, int task, int worker)
    {
        Job* job = (Job*)state;
        int end = Math.Min(job->Tokens, (task + 1) * TokensPerTask);
        for (int b = task * TokensPerTask; b < end; b++)
        {
            int first = job->Start[b], count = job->Start[b + 1] - first;
            float* recon = job->Recon + b * job->ReconStride;
            if (job->Active == null)
            {
                Columns(job, worker, job->Latent + first, Gather(job, worker, first, count), 0, job->Width, recon);
                continue;
            }

            for (int m = 0; m < job->Models; m++)
            {
                int* latents = Pick(job, worker, first, count, m, out int some);
                Columns(job, worker, latents, some, job->Offsets[m], job->Offsets[m + 1], recon);
            }
        }
    }

    /// <summary>The values of a token's pairs.</summary>
    static int Gather(Job* job, int worker, int first, int count)
    {
        float* values = job->Scratch + (nint)worker * job->Room + Levels * Chunk;
        for (int i = 0; i < count; i++)
        {
            values[i] = job->Value[job->Place[first + i]];
        }

        return count;
    }

    /// <summary>The latents and values of those of a token's pairs that are active in a model.</summary>
    static int* Pick(Job* job, int worker, int first, int count, int model, out int some)
    {
        float* values = job->Scratch + (nint)worker * job->Room + Levels * Chunk;
        int* latents = (int*)(values + job->Values);
        some = 0;
        for (int i = first; i < first + count; i++)
        {
            int place = job->Place[i];
            if ((job->Active[place] >> model & 1) != 0)
            {
                latents[some] = job->Latent[i];
                values[some++] = job->Value[place];
            }
        }

        return latents;
    }

    /// <summary>Some columns of one token's reconstruction.</summary>
    static void Columns(Job* job, int worker, int* latents, int count, int from, int to, float* recon)
    {
        float* stack = job->Scratch + (nint)worker * job->Room;
        float* values = stack + Levels * Chunk;
        Shard* shards = (Shard*)(values + 2 * job->Values);
        int shardCount = Cut(latents, count, job->ShardSize, shards);

        // The rows of the next token, roughly: they are fetched while this one's are summed.
        bool more = job->Active == null && latents + 2 * count <= job->Latent + job->Start[job->Tokens];
        int* ahead = more ? latents + count : latents;
        for (int c = from; c < to; c += Chunk)
        {
            int columns = Math.Min(Chunk, to - c);
            Add(shards, shardCount, latents, ahead, values, job->W + c, job->WStride, columns, stack);
            Finish(shardCount == 0 ? null : stack, job->Bias == null ? null : job->Bias + c, recon + c, columns);
        }
    }

    /// <summary>Cuts the pairs of a token by shard; each shard says how many open sums it closes. Between two neighbours the tree joins at the highest bit in which their shards differ.</summary>
    static int Cut(int* latents, int count, int shardSize, Shard* shards)
    {
        int found = 0, open = 0;
        int* joins = stackalloc int[Levels];
        int i = 0;
        while (i < count)
        {
            int index = latents[i] / shardSize, first = i;
            int beyond = (int)Math.Min(int.MaxValue, (index + 1L) * shardSize);
            while (i < count && latents[i] < beyond)
            {
                i++;
            }

            int join = i < count ? 31 - System.Numerics.BitOperations.LeadingZeroCount((uint)(index ^ (latents[i] / shardSize))) : int.MaxValue;
            int merges = 0;
            while (open > 0 && joins[open - 1] < join)
            {
                open--;
                merges++;
            }

            joins[open++] = join;
            shards[found++] = new Shard { Pairs = i - first, Merges = merges };
        }

        return found;
    }

    /// <summary>
    /// Shard by shard: its sum, then the open sums below it added, as many as it closes; the result takes the place of the lowest of them, and the last one that of the first.
    /// No call inside: the accumulators stay in registers.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    static void Add(Shard* shard, int shards, int* rows, int* ahead, float* values, float* table, nint stride, int width, float* top)
    {
        for (Shard* last = shard + shards; shard < last; shard++)
        {
            int count = shard->Pairs, merges = shard->Merges;
            float* place = top - merges * Chunk;
            int c = 0;
            for (; c <= width - 64; c += 64)
            {
                float* row = table + rows[0] * stride + c;
                Vector256<float> x = Vector256.Create(values[0]);
                Vector256<float> s0 = x * Vector256.Load(row + 0);
                Vector256<float> s1 = x * Vector256.Load(row + 8);
                Vector256<float> s2 = x * Vector256.Load(row + 16);
                Vector256<float> s3 = x * Vector256.Load(row + 24);
                Vector256<float> s4 = x * Vector256.Load(row + 32);
                Vector256<float> s5 = x * Vector256.Load(row + 40);
                Vector256<float> s6 = x * Vector256.Load(row + 48);
                Vector256<float> s7 = x * Vector256.Load(row + 56);
                for (int i = 1; i < count; i++)
                {
                    row = table + rows[i] * stride + c;
                    x = Vector256.Create(values[i]);
                    s0 = Vector256.MultiplyAddEstimate(x, Vector256.Load(row + 0), s0);
                    s1 = Vector256.MultiplyAddEstimate(x, Vector256.Load(row + 8), s1);
                    s2 = Vector256.MultiplyAddEstimate(x, Vector256.Load(row + 16), s2);
                    s3 = Vector256.MultiplyAddEstimate(x, Vector256.Load(row + 24), s3);
                    s4 = Vector256.MultiplyAddEstimate(x, Vector256.Load(row + 32), s4);
                    s5 = Vector256.MultiplyAddEstimate(x, Vector256.Load(row + 40), s5);
                    s6 = Vector256.MultiplyAddEstimate(x, Vector256.Load(row + 48), s6);
                    s7 = Vector256.MultiplyAddEstimate(x, Vector256.Load(row + 56), s7);
                }

                for (float* open = top + c - Chunk; open >= place; open -= Chunk)
                {
                    s0 = Vector256.Load(open + 0) + s0;
                    s1 = Vector256.Load(open + 8) + s1;
                    s2 = Vector256.Load(open + 16) + s2;
                    s3 = Vector256.Load(open + 24) + s3;
                    s4 = Vector256.Load(open + 32) + s4;
                    s5 = Vector256.Load(open + 40) + s5;
                    s6 = Vector256.Load(open + 48) + s6;
                    s7 = Vector256.Load(open + 56) + s7;
                }

                s0.Store(place + c + 0);
                s1.Store(place + c + 8);
                s2.Store(place + c + 16);
                s3.Store(place + c + 24);
                s4.Store(place + c + 32);
                s5.Store(place + c + 40);
                s6.Store(place + c + 48);
                s7.Store(place + c + 56);
            }

            for (; c <= width - 8; c += 8)
            {
                Vector256<float> s = Vector256.Create(values[0]) * Vector256.Load(table + rows[0] * stride + c);
                for (int i = 1; i < count; i++)
                {
                    s = Vector256.MultiplyAddEstimate(Vector256.Create(values[i]), Vector256.Load(table + rows[i] * stride + c), s);
                }

                for (float* open = top + c - Chunk; open >= place; open -= Chunk)
                {
                    s = Vector256.Load(open) + s;
                }

                s.Store(place + c);
            }

            for (; c < width; c++)
            {
                float s = values[0] * table[rows[0] * stride + c];
                for (int i = 1; i < count; i++)
                {
                    s = float.MultiplyAddEstimate(values[i], table[rows[i] * stride + c], s);
                }

                for (float* open = top + c - Chunk; open >= place; open -= Chunk)
                {
                    s = *open + s;
                }

                place[c] = s;
            }

            if (Sse.IsSupported)
            {
                for (int i = 0; i < count; i++)
                {
                    float* next = table + ahead[i] * stride;
                    for (c = 0; c < width; c += 16)
                    {
                        Sse.Prefetch1(next + c);
                    }
                }
            }

            top = place + Chunk;
            rows += count;
            ahead += count;
            values += count;
        }
    }

    /// <summary>
    /// recon = (sum + 0) + bias; either may be missing. The + 0 makes a sum of -0 a 0: shards that are left out add 0, and only the sign of a 0 could tell.
    /// </summary>
    static void Finish(float* sum, float* bias, float* recon, int width)
    {
        if (sum == null)
        {
            new Span<float>(recon, width).Clear();
            sum = recon;
        }

        int c = 0;
        for (; c <= width - 8; c += 8)
        {
            Vector256<float> s = Vector256.Load(sum + c) + Vector256<float>.Zero;
            (bias == null ? s : s + Vector256.Load(bias + c)).Store(recon + c);
        }

        for (; c < width; c++)
        {
            float s = sum[c] + 0f;
            recon[c] = bias == null ? s : s + bias[c];
        }
    }

    struct Shard
    {
        public int Pairs;
        public int Merges;
    }

    struct Job
    {
        public int Tokens;
        public int* Start;
        public int* Latent;
        public int* Place;
        public float* Value;
        public int ShardSize;
        public int* Active;
        public int* Offsets;
        public int Models;
        public float* W;
        public nint WStride;
        public int Width;
        public float* Bias;
        public float* Recon;
        public nint ReconStride;
        public float* Scratch;
        public int Room;
        public int Values;
    }
}
