using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Diffract.Cpu.Crosscoder;

/// <summary>
/// The exact p of the pairs that screening let through: for each one chain of fused multiply-adds in the order of k that starts at the bias, as in every float32 tile,
/// so that the bits are the same. Eight pairs, of whatever latents and tokens, go side by side: their rows are turned in pieces of eight by eight.
/// </summary>
static unsafe class Rescore
{
    const int Lanes = 8;

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
        Group group = default;
        group.Target = values;
        int from = 0, to = 0;
        for (int j = first; j < end; j++)
        {
            float scale = job->Scale[j], least = Math.Max(job->Screen->Cut, job->FloorOf(j));
            int kept = to;
            for (int i = 0; i < job->Counts[j]; i++, from++)
            {
                if (highs[from] * scale >= least)
                {
                    tokens[to] = tokens[from];
                    group.Add(job, j, tokens[to]);
                    to++;
                }
            }

            job->Counts[j] = to - kept;
        }

        group.Flush(job->Depth);
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

    /// <summary>Up to eight pairs under way.</summary>
    struct Group
    {
        public float* Target;
        Rows _acts;
        Rows _weights;
        Starts _starts;
        int _count;

        public void Add(EncodeJob* job, int latent, int token)
        {
            _acts[_count] = (nint)(job->Acts + token * job->ActsStride);
            _weights[_count] = (nint)(job->W + latent * job->WStride);
            _starts[_count] = job->Bias[latent];
            if (++_count == Lanes)
            {
                Flush(job->Depth);
            }
        }

        public void Flush(int depth)
        {
            if (_count == 0)
            {
                return;
            }

            // Lanes without a pair do the first one's work again.
            for (int i = _count; i < Lanes; i++)
            {
                _acts[i] = _acts[0];
                _weights[i] = _weights[0];
                _starts[i] = _starts[0];
            }

            float* result = stackalloc float[Lanes];
            fixed (nint* acts = &_acts[0], weights = &_weights[0])
            fixed (float* starts = &_starts[0])
            {
                Chains((float**)acts, (float**)weights, starts, depth, result);
            }

            new ReadOnlySpan<float>(result, _count).CopyTo(new Span<float>(Target, _count));
            Target += _count;
            _count = 0;
        }
    }

    /// <summary>result[i] = starts[i] + Σ_k acts[i][k]·weights[i][k], eight chains side by side.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    static void Chains(float** acts, float** weights, float* starts, int depth, float* result)
    {
        float* x = stackalloc float[Lanes * Lanes], w = stackalloc float[Lanes * Lanes];
        Vector256<float> sum = Vector256.Load(starts);
        int k = 0;
        if (Avx.IsSupported)
        {
            for (; k <= depth - Lanes; k += Lanes)
            {
                Turn(acts, k, x);
                Turn(weights, k, w);
                for (int i = 0; i < Lanes * Lanes; i += Lanes)
                {
                    sum = Vector256.FusedMultiplyAdd(Vector256.Load(x + i), Vector256.Load(w + i), sum);
                }
            }
        }

        sum.Store(result);
        for (; k < depth; k++)
        {
            for (int i = 0; i < Lanes; i++)
            {
                result[i] = MathF.FusedMultiplyAdd(acts[i][k], weights[i][k], result[i]);
            }
        }
    }

    /// <summary>target[j][i] = rows[i][k + j] for eight rows and eight steps.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static void Turn(float** rows, int k, float* target)
    {
        for (int half = 0; half < Lanes; half += 4)
        {
            Vector256<float> r0 = Vector256.Create(Vector128.Load(rows[0] + k + half), Vector128.Load(rows[4] + k + half));
            Vector256<float> r1 = Vector256.Create(Vector128.Load(rows[1] + k + half), Vector128.Load(rows[5] + k + half));
            Vector256<float> r2 = Vector256.Create(Vector128.Load(rows[2] + k + half), Vector128.Load(rows[6] + k + half));
            Vector256<float> r3 = Vector256.Create(Vector128.Load(rows[3] + k + half), Vector128.Load(rows[7] + k + half));
            Vector256<float> t0 = Avx.UnpackLow(r0, r1), t1 = Avx.UnpackHigh(r0, r1), t2 = Avx.UnpackLow(r2, r3), t3 = Avx.UnpackHigh(r2, r3);
            float* at = target + half * Lanes;
            Avx.Shuffle(t0, t2, 0x44).Store(at);
            Avx.Shuffle(t0, t2, 0xEE).Store(at + Lanes);
            Avx.Shuffle(t1, t3, 0x44).Store(at + 2 * Lanes);
            Avx.Shuffle(t1, t3, 0xEE).Store(at + 3 * Lanes);
        }
    }

    [InlineArray(Lanes)]
    struct Rows
    {
        nint _first;
    }

    [InlineArray(Lanes)]
    struct Starts
    {
        float _first;
    }
}
