using System.Runtime.Intrinsics;
using Diffract.Compute.Buffers;
using Diffract.Cpu.Matmul;
using Diffract.Cpu.Threads;

namespace Diffract.Cpu.Crosscoder;

/// <summary>The ops on a code kept as a matrix [B, L]: products, with what happens to their elements afterwards.</summary>
sealed unsafe class DenseCode(WorkerPool pool, MatrixProduct product) : IDisposable
{
    const int RowsPerTask = 8;

    HostBuffer _penalties = new(ElementType.Float32, 16);

    public void Dispose() => _penalties.Dispose();

    /// <summary>code = ReLU(acts · wEncᵀ + bEnc).</summary>
    public void Encode(Matrix acts_BE, Matrix wEnc_LE, Matrix bEnc_L, Matrix code_BL)
    {
        product.TimesTransposed(acts_BE, wEnc_LE, code_BL, bEnc_L);
        Job job = new() { Target = code_BL.Floats, TargetStride = code_BL.Stride, Rows = code_BL.Rows, Columns = code_BL.Columns };
        pool.Run((job.Rows + RowsPerTask - 1) / RowsPerTask, &Rectify, &job);
    }

    /// <summary>codeGrad = grad · wDecᵀ + penalty·s where the code is above 0, else 0.</summary>
    public void Gradient(Matrix code_BL, Matrix grad_BE, Matrix wDec_LE, Matrix scale_L, float penalty, Matrix codeGrad_BL)
    {
        int latents = code_BL.Columns;
        Scratch.Grow(ref _penalties, latents);

        float* penalties = _penalties.Floats;
        for (int j = 0; j < latents; j++)
        {
            penalties[j] = penalty * scale_L.Floats[j];
        }

        product.TimesTransposed(grad_BE, wDec_LE, codeGrad_BL, new Matrix(_penalties, 1, latents, latents));
        Job job = new()
        {
            Target = codeGrad_BL.Floats,
            TargetStride = codeGrad_BL.Stride,
            Rows = code_BL.Rows,
            Columns = latents,
            Code = code_BL.Floats,
            CodeStride = code_BL.Stride,
        };
        pool.Run((job.Rows + RowsPerTask - 1) / RowsPerTask, &Mask, &job);
    }

    static void Rectify(void* state, int task, int worker)
    {
        Job* job = (Job*)state;
        int end = Math.Min(job->Rows, (task + 1) * RowsPerTask);
        for (int b = task * RowsPerTask; b < end; b++)
        {
            float* row = job->Target + b * job->TargetStride;
            int c = 0;
            for (; c <= job->Columns - 8; c += 8)
            {
                Vector256.Max(Vector256.Load(row + c), Vector256<float>.Zero).Store(row + c);
            }

            for (; c < job->Columns; c++)
            {
                row[c] = Math.Max(row[c], 0);
            }
        }
    }

    static void Mask(void* state, int task, int worker)
    {
        Job* job = (Job*)state;
        int end = Math.Min(job->Rows, (task + 1) * RowsPerTask);
        for (int b = task * RowsPerTask; b < end; b++)
        {
            float* row = job->Target + b * job->TargetStride;
            float* code = job->Code + b * job->CodeStride;
            int c = 0;
            for (; c <= job->Columns - 8; c += 8)
            {
                Vector256<float> on = Vector256.GreaterThan(Vector256.Load(code + c), Vector256<float>.Zero);
                (Vector256.Load(row + c) & on).Store(row + c);
            }

            for (; c < job->Columns; c++)
            {
                row[c] = code[c] > 0 ? row[c] : 0;
            }
        }
    }

    struct Job
    {
        public float* Target;
        public nint TargetStride;
        public int Rows;
        public int Columns;
        public float* Code;
        public nint CodeStride;
    }
}
