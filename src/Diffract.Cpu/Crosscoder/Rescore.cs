using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Diffract.Cpu.Crosscoder;

/// <summary>
/// The exact p of the pairs that screening let through: for each one chain of fused multiply-adds in the order of k that starts at the bias, as in every float32 tile,
/// so that the bits are the same. Eight pairs, of whatever latents and tokens, go side by side: their rows are turned line by line.
/// </summary>
static unsafe class Rescore
{
    const int Lanes = 8;

    /// <summary>Floats of a cache line.</summary>
    const int Steps = 16;

    /// <summary>Task body: block <c>task</c>. Pairs that cannot reach the cut, and those whose p does not reach the floor, are dropped; the rest move together.</summary>
    public static void Run(void* state, int block, int worker)
    {
        EncodeJob* job = (EncodeJob*)state;
        int first = block * EncodeJob.BlockLatents;
        int end = Math.Min(job->Latents, first + EncodeJob.BlockLatents);
        FoundPairs.Place place = job->Places[block];
        FoundPairs.Found* found = job->Lists + place.Worker;
        int* tokens = found->Tokens + place.Offset;
        float* values = found->Values + place.Offset, highs = found->Highs + place.Offset;
        // The worker's bins are empty between blocks.
        int* latents = job->BinTokens + (nint)worker * EncodeJob.BlockLatents * job->BinRoom;
        int from = 0, to = 0;
        for (int j = first; j < end; j++)
        {
            float scale = job->Scale[j], least = Math.Max(job->Screen->Cut, job->FloorOf(j));
            int kept = to;
            for (int i = 0; i < job->Counts[j]; i++, from++)
            {
                tokens[to] = tokens[from];
                latents[to] = j;
                to += highs[from] * scale >= least ? 1 : 0;
            }

            job->Counts[j] = to - kept;
        }

        Exact(job, tokens, latents, to, values);
        DropBelowFloor(job, first, end, tokens, values);
    }

    static void DropBelowFloor(EncodeJob* job, int first, int end, int* tokens, float* values)
    {
        int from = 0, to = 0;
        for (int j = first; j < end; j++)
        {
            float scale = job->Scale[j], floor = job->FloorOf(j);
            int kept = to;
            for (int i = 0; i < job->Counts[j]; i++, from++)
            {
                tokens[to] = tokens[from];
                values[to] = values[from];
                to += values[from] * scale >= floor ? 1 : 0;
            }

            job->Counts[j] = to - kept;
        }
    }

    /// <summary>values[i] = p of token i and latent i.</summary>
    static void Exact(EncodeJob* job, int* tokens, int* latents, int count, float* values)
    {
        float** rows = stackalloc float*[2 * Lanes];
        float* sums = stackalloc float[Lanes];
        for (int i = 0; i < count; i += Lanes)
        {
            for (int lane = 0; lane < Lanes; lane++)
            {
                // The last pair stands in for those that do not exist.
                int pair = Math.Min(i + lane, count - 1);
                rows[lane] = job->Acts + tokens[pair] * job->ActsStride;
                rows[Lanes + lane] = job->W + latents[pair] * job->WStride;
                sums[lane] = job->Bias[latents[pair]];
            }

            Chains(rows, job->Depth, sums);
            int some = Math.Min(Lanes, count - i);
            new ReadOnlySpan<float>(sums, some).CopyTo(new Span<float>(values + i, some));
        }
    }

    /// <summary>sums[i] += Σ_k rows[i][k]·rows[8 + i][k], eight chains side by side.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    static void Chains(float** rows, int depth, float* sums)
    {
        Vector256<float> sum = Vector256.Load(sums);
        int k = 0;
        if (Avx.IsSupported)
        {
            float** weights = rows + Lanes;
            bool one = OneLatent(weights);
            for (; k <= depth - Steps; k += Steps)
            {
                for (int part = k; part < k + Steps; part += 4)
                {
                    Turn(rows, part, out Vector256<float> x0, out Vector256<float> x1, out Vector256<float> x2, out Vector256<float> x3);
                    Vector256<float> w0, w1, w2, w3;
                    if (one)
                    {
                        float* w = weights[0] + part;
                        (w0, w1, w2, w3) = (Vector256.Create(w[0]), Vector256.Create(w[1]), Vector256.Create(w[2]), Vector256.Create(w[3]));
                    }
                    else
                    {
                        Turn(weights, part, out w0, out w1, out w2, out w3);
                    }

                    sum = Vector256.FusedMultiplyAdd(x0, w0, sum);
                    sum = Vector256.FusedMultiplyAdd(x1, w1, sum);
                    sum = Vector256.FusedMultiplyAdd(x2, w2, sum);
                    sum = Vector256.FusedMultiplyAdd(x3, w3, sum);
                }
            }
        }

        sum.Store(sums);
        for (; k < depth; k++)
        {
            for (int i = 0; i < Lanes; i++)
            {
                sums[i] = MathF.FusedMultiplyAdd(rows[i][k], rows[Lanes + i][k], sums[i]);
            }
        }
    }

    static bool OneLatent(float** rows)
    {
        bool one = true;
        for (int i = 1; i < Lanes; i++)
        {
            one &= rows[i] == rows[0];
        }

        return one;
    }

    /// <summary>Four steps of eight rows: tj holds rows[0..7][k + j].</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static void Turn(float** rows, nint k, out Vector256<float> t0, out Vector256<float> t1, out Vector256<float> t2, out Vector256<float> t3)
    {
        Vector256<float> r0 = Vector256.Create(Vector128.Load(rows[0] + k), Vector128.Load(rows[4] + k)), r1 = Vector256.Create(Vector128.Load(rows[1] + k), Vector128.Load(rows[5] + k));
        Vector256<float> r2 = Vector256.Create(Vector128.Load(rows[2] + k), Vector128.Load(rows[6] + k)), r3 = Vector256.Create(Vector128.Load(rows[3] + k), Vector128.Load(rows[7] + k));
        Vector256<float> low01 = Avx.UnpackLow(r0, r1), high01 = Avx.UnpackHigh(r0, r1), low23 = Avx.UnpackLow(r2, r3), high23 = Avx.UnpackHigh(r2, r3);
        t0 = Avx.Shuffle(low01, low23, 0x44);
        t1 = Avx.Shuffle(low01, low23, 0xEE);
        t2 = Avx.Shuffle(high01, high23, 0x44);
        t3 = Avx.Shuffle(high01, high23, 0xEE);
    }
}
