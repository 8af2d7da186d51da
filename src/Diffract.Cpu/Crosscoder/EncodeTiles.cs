using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Diffract.Cpu.Matmul;

namespace Diffract.Cpu.Crosscoder;

/// <summary>
/// A block of latents by all tokens in float32. The block's p for one panel of tokens stays in the first-level cache, is scanned there and overwritten by the next.
/// What the scan finds goes to a bin for each latent, so that the block ends up latent-major although the panels came token by token.
/// </summary>
static unsafe class EncodeTiles
{
    /// <summary>Task body: encodes block <c>task·stride</c> of an <see cref="EncodeJob"/>.</summary>
    public static void Run<T>(void* state, int task, int worker)
        where T : ITile
    {
        EncodeJob* job = (EncodeJob*)state;
        int block = task * job->Stride;
        int first = block * EncodeJob.BlockLatents;
        int latents = Math.Min(EncodeJob.BlockLatents, job->Latents - first);
        float* tile = job->Tile + (nint)worker * 2 * EncodeJob.BlockLatents * T.Columns;
        int* counts = stackalloc int[EncodeJob.BlockLatents];
        float* limits = stackalloc float[EncodeJob.BlockLatents];
        float* start = tile + EncodeJob.BlockLatents * T.Columns;
        for (int j = 0; j < latents; j++)
        {
            counts[j] = 0;
            limits[j] = Limit(job->FloorOf(first + j), job->Unscaled ? 1 : job->Scale[first + j]);
            new Span<float>(start + j * T.Columns, T.Columns).Fill(job->Bias[first + j]);
        }

        float* w = job->W + first * job->WStride;
        for (int p = 0; p < job->PanelCount; p++)
        {
            float* panel = job->Panels + (nint)p * T.Columns * job->Depth;
            new ReadOnlySpan<float>(start, latents * T.Columns).CopyTo(new Span<float>(tile, latents * T.Columns));
            for (int k = 0; k < job->Depth; k += T.Depth)
            {
                int depth = Math.Min(T.Depth, job->Depth - k);
                for (int j = 0; j < latents; j += T.Rows)
                {
                    T.Run(depth, w + j * job->WStride + k, job->WStride, Math.Min(T.Rows, latents - j), panel + (nint)k * T.Columns, tile + j * T.Columns, T.Columns, true);
                }
            }

            int token = p * T.Columns;
            for (int c = 0; c < T.Columns && token + c < job->Tokens; c += 16)
            {
                int wide = Math.Min(16, T.Columns - c);
                uint real = job->Tokens - token - c < 16 ? (1u << (job->Tokens - token - c)) - 1 : 0xFFFF;
                Scan(job, worker, first, tile + c, T.Columns, wide, latents, limits, token + c, real, counts);
            }
        }

        Empty(job, block, worker, counts, latents);
    }

    /// <summary>Appends the block's bins to the worker's list, latent by latent, and notes where they went.</summary>
    public static void Empty(EncodeJob* job, int block, int worker, int* counts, int latents)
    {
        nint bins = (nint)worker * EncodeJob.BlockLatents * job->BinRoom;
        FoundPairs.Found* found = job->Lists + worker;
        job->Places[block] = new FoundPairs.Place { Worker = worker, Offset = found->Count };
        int sum = 0;
        for (int j = 0; j < latents; j++)
        {
            job->Counts[block * EncodeJob.BlockLatents + j] = counts[j];
            sum += counts[j];
        }

        found->Reserve(sum);
        for (int j = 0; j < latents; j++)
        {
            nint bin = bins + (nint)j * job->BinRoom;
            new ReadOnlySpan<int>(job->BinTokens + bin, counts[j]).CopyTo(new Span<int>(found->Tokens + found->Count, counts[j]));
            new ReadOnlySpan<float>(job->BinValues + bin, counts[j]).CopyTo(new Span<float>(found->Values + found->Count, counts[j]));
            if (job->Screen != null)
            {
                new ReadOnlySpan<float>(job->Screen->BinHighs + bin, counts[j]).CopyTo(new Span<float>(found->Highs + found->Count, counts[j]));
            }

            found->Count += counts[j];
        }
    }

    /// <summary>A p below it cannot reach the floor once it is scaled and rounded.</summary>
    static float Limit(float floor, float scale) => MathF.BitDecrement((float)(((floor * (1 - 1.2e-7)) - 1.5e-45) / scale));

    /// <summary>Appends to each latent's bin those of sixteen (or eight) tokens whose p·s reaches the latent's floor.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    static void Scan(EncodeJob* job, int worker, int first, float* z, nint columns, int wide, int latents, float* limits, int token, uint real, int* counts)
    {
        nint second = wide > 8 ? 8 : 0;
        for (int j = 0; j < latents; j++, z += columns)
        {
            Vector256<float> limit = Vector256.Create(limits[j]);
            Vector256<float> low = Vector256.GreaterThanOrEqual(Vector256.Load(z), limit), high = Vector256.GreaterThanOrEqual(Vector256.Load(z + second), limit);
            if ((low | high).ExtractMostSignificantBits() != 0)
            {
                uint hits = (low.ExtractMostSignificantBits() | (high.ExtractMostSignificantBits() << 8)) & real;
                counts[j] = Keep(job, worker, first + j, z, token, wide > 8 ? hits : hits & 255, (nint)j * job->BinRoom, counts[j]);
            }
        }
    }

    static int Keep(EncodeJob* job, int worker, int latent, float* z, int token, uint hits, nint bin, int count)
    {
        bin += (nint)worker * EncodeJob.BlockLatents * job->BinRoom;
        float scale = job->Unscaled ? 1 : job->Scale[latent], floor = job->FloorOf(latent);
        while (hits != 0)
        {
            int c = BitOperations.TrailingZeroCount(hits);
            job->BinTokens[bin + count] = token + c;
            job->BinValues[bin + count] = z[c];
            count += z[c] * scale >= floor ? 1 : 0;
            hits &= hits - 1;
        }

        return count;
    }
}
