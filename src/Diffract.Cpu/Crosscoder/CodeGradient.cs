using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Cpu.Threads;

namespace Diffract.Cpu.Crosscoder;

/// <summary>dLoss/df_bj = ⟨grad_b, wDec_j⟩ + penalty·s_j, latent by latent: the decoder row stays in the first-level cache.</summary>
static unsafe class CodeGradient
{
    const int LatentsPerTask = 16;
    const int ColumnsPerTask = 64;

    public static void Run(WorkerPool pool, SparseCode code, Matrix grad_BE, Matrix wDec_LE, Matrix scale_L, float penalty)
    {
        Job job = new()
        {
            Latents = code.Latents,
            Start = code.LatentStart.Ints,
            Token = code.PairToken.Ints,
            Gradient = code.PairGradient.Floats,
            Grad = grad_BE.Floats,
            GradStride = grad_BE.Stride,
            W = wDec_LE.Floats,
            WStride = wDec_LE.Stride,
            Width = wDec_LE.Columns,
            Scale = scale_L.Floats,
            Penalty = penalty,
        };
        pool.Run((code.Latents + LatentsPerTask - 1) / LatentsPerTask, &Dots, &job);
    }

    /// <summary>Per latent Σ_b f_bj, in double, then rounded.</summary>
    public static void Sums(WorkerPool pool, SparseCode code, Matrix sum_L)
    {
        Job job = new() { Latents = code.Latents, Start = code.LatentStart.Ints, Gradient = code.PairValue.Floats, Scale = sum_L.Floats };
        pool.Run((code.Latents + 511) / 512, &Sum, &job);
    }

    /// <summary>sum_E -= Σ_j (Σ_terms Σ_b γ_bj) wEnc_j: each column in double, latents in their order.</summary>
    public static void Centre(WorkerPool pool, ReadOnlySpan<LatentTerm> terms, Matrix wEnc_LE, Matrix sum_E, Matrix gamma_L)
    {
        Span<float> gamma = gamma_L.Row(0);
        for (int j = 0; j < gamma.Length; j++)
        {
            double sum = 0;
            foreach (LatentTerm term in terms)
            {
                int* start = term.Code.LatentStart.Ints;
                for (int i = start[j]; i < start[j + 1]; i++)
                {
                    sum += term.Code.PairGradient.Floats[i];
                }
            }

            gamma[j] = (float)sum;
        }

        Job job = new() { Latents = wEnc_LE.Rows, W = wEnc_LE.Floats, WStride = wEnc_LE.Stride, Width = sum_E.Columns, Grad = sum_E.Floats, Gradient = gamma_L.Floats };
        pool.Run((sum_E.Columns + ColumnsPerTask - 1) / ColumnsPerTask, &CentreColumns, &job);
    }

    static void CentreColumns(void* state, int task, int worker)
    {
        Job* job = (Job*)state;
        double* sums = stackalloc double[ColumnsPerTask];
        int first = task * ColumnsPerTask, columns = Math.Min(ColumnsPerTask, job->Width - first);
        for (int c = 0; c < columns; c++)
        {
            sums[c] = job->Grad[first + c];
        }

        for (int j = 0; j < job->Latents; j++)
        {
            float* w = job->W + j * job->WStride + first;
            double gamma = job->Gradient[j];
            for (int c = 0; gamma != 0 && c < columns; c++)
            {
                sums[c] -= gamma * w[c];
            }
        }

        for (int c = 0; c < columns; c++)
        {
            job->Grad[first + c] = (float)sums[c];
        }
    }

    static void Dots(void* state, int task, int worker)
    {
        Job* job = (Job*)state;
        int end = Math.Min(job->Latents, (task + 1) * LatentsPerTask);
        for (int j = task * LatentsPerTask; j < end; j++)
        {
            float* w = job->W + j * job->WStride;
            float penalty = job->Penalty * job->Scale[j];
            for (int i = job->Start[j]; i < job->Start[j + 1]; i++)
            {
                job->Gradient[i] = RowSums.Dot(job->Grad + job->Token[i] * job->GradStride, w, job->Width) + penalty;
            }
        }
    }

    static void Sum(void* state, int task, int worker)
    {
        Job* job = (Job*)state;
        int end = Math.Min(job->Latents, (task + 1) * 512);
        for (int j = task * 512; j < end; j++)
        {
            double sum = 0;
            for (int i = job->Start[j]; i < job->Start[j + 1]; i++)
            {
                sum += job->Gradient[i];
            }

            job->Scale[j] = (float)sum;
        }
    }

    struct Job
    {
        public int Latents;
        public int* Start;
        public int* Token;
        public float* Gradient;
        public float* Grad;
        public nint GradStride;
        public float* W;
        public nint WStride;
        public int Width;
        public float* Scale;
        public float Penalty;
    }
}
