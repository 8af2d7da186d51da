using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Cpu.Threads;

namespace Diffract.Cpu.Crosscoder;

/// <summary>recon_b = bDec + Σ_j f_bj wDec_j over the active latents of each token, in ascending order of j.</summary>
static unsafe class Decode
{
    const int TokensPerTask = 8;

    /// <summary>Values gathered at a time.</summary>
    const int Piece = 256;

    public static void Run(WorkerPool pool, SparseCode code, Matrix wDec_LE, Matrix? bDec_E, Matrix recon_BE)
    {
        Job job = new()
        {
            Tokens = code.Tokens,
            Start = code.TokenStart.Ints,
            Latent = code.TokenLatent.Ints,
            Place = code.TokenPairs.Ints,
            Value = code.PairValue.Floats,
            W = wDec_LE.Floats,
            WStride = wDec_LE.Stride,
            Width = wDec_LE.Columns,
            Bias = bDec_E is { } bias ? bias.Floats : null,
            Recon = recon_BE.Floats,
            ReconStride = recon_BE.Stride,
        };
        pool.Run((code.Tokens + TokensPerTask - 1) / TokensPerTask, &Sum, &job);
    }

    static void Sum(void* state, int task, int worker)
    {
        Job* job = (Job*)state;
        float* values = stackalloc float[Piece];
        int end = Math.Min(job->Tokens, (task + 1) * TokensPerTask);
        for (int b = task * TokensPerTask; b < end; b++)
        {
            float* recon = job->Recon + b * job->ReconStride;
            Span<float> row = new(recon, job->Width);
            if (job->Bias == null)
            {
                row.Clear();
            }
            else
            {
                new ReadOnlySpan<float>(job->Bias, job->Width).CopyTo(row);
            }

            int last = job->Start[b + 1];
            for (int i = job->Start[b]; i < last; i += Piece)
            {
                int some = Math.Min(Piece, last - i);
                for (int q = 0; q < some; q++)
                {
                    values[q] = job->Value[job->Place[i + q]];
                }

                RowSums.Add(some, job->Latent + i, values, job->W, job->WStride, job->Width, recon);
            }
        }
    }

    struct Job
    {
        public int Tokens;
        public int* Start;
        public int* Latent;
        public int* Place;
        public float* Value;
        public float* W;
        public nint WStride;
        public int Width;
        public float* Bias;
        public float* Recon;
        public nint ReconStride;
    }
}
