using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Cpu.Matmul;

namespace Diffract.Cpu.Crosscoder;

/// <summary>
/// The dense form: each weight gradient is a product, made for a block of latents at a time, and used as soon as the block's rows are whole. No gradient matrix exists.
/// </summary>
sealed unsafe partial class UpdateLatents
{
    /// <summary>Σ of the squares of all gradients, in double, added as in the sparse form.</summary>
    public double GradientSquares(MatrixProduct product, in DenseTerm term, Matrix acts_BE, in LatentParameters parameters)
    {
        int latents = parameters.WEnc_LE.Rows;
        double* squares = Scratch.Grow(ref _squares, latents).Doubles;
        for (int j = 0; j < latents; j++)
        {
            double bias = term.BiasGrad_L.Floats[j];
            squares[j] = bias * bias;
        }

        fixed (int* offsets = parameters.ModelOffsets)
        {
            DenseJob job = new() { Latents = Prepare([], null, default, parameters, offsets) };
            job.Latents.Squares = squares;
            product.TransposedTimes(term.CodeGrad_BL, acts_BE, new ProductEnd(&End, null, &job, wholeRows: true));
            job.Decoder = true;
            product.TransposedTimes(term.Code_BL, term.Grad_BE, new ProductEnd(&End, null, &job, wholeRows: true));
        }

        return VirtualShards.Sum(new ReadOnlySpan<double>(squares, latents), VirtualShards.Size(latents));
    }

    public void Update(MatrixProduct product, in DenseTerm term, Matrix acts_BE, in LatentParameters parameters, in AdamStep adam)
    {
        fixed (int* offsets = parameters.ModelOffsets)
        {
            DenseJob job = new() { Latents = Prepare([], null, default, parameters, offsets) };
            job.Latents.Adam = new Adam(adam);
            job.BiasGradient = term.BiasGrad_L.Floats;
            product.TransposedTimes(term.CodeGrad_BL, acts_BE, new ProductEnd(&End, null, &job, wholeRows: true));
            job.Decoder = true;
            product.TransposedTimes(term.Code_BL, term.Grad_BE, new ProductEnd(&End, null, &job, wholeRows: true));
        }
    }

    /// <summary>A block of latents whose gradient is whole.</summary>
    static void End(void* state, ProductBlock* block)
    {
        DenseJob* job = (DenseJob*)state;
        for (int i = 0; i < block->Rows; i++)
        {
            if (job->Decoder)
            {
                EndDecoder(&job->Latents, block->Row + i, block->Values + i * block->Stride);
            }
            else
            {
                EndEncoder(&job->Latents, block->Row + i, block->Values + i * block->Stride, job->BiasGradient);
            }
        }
    }

    static void EndEncoder(Job* job, int j, float* gEnc, float* gBias)
    {
        job->Shape.Encoder(j, gEnc);
        if (job->Squares != null)
        {
            job->Squares[j] += RowSums.Squares(gEnc, job->Width);
            return;
        }

        job->Adam.Row(job->Enc.At(j), gEnc, job->EncM.At(j), job->EncV.At(j), job->Width);
        job->Adam.Single(job->Bias.Pointer + j, gBias[j], job->BiasM.Pointer + j, job->BiasV.Pointer + j);
    }

    static void EndDecoder(Job* job, int j, float* gDec)
    {
        Pull(job, j, gDec);
        job->Shape.Decoder(j, job->Dec.At(j), gDec);
        if (job->Squares != null)
        {
            job->Squares[j] += RowSums.Squares(gDec, job->Width);
            return;
        }

        job->Adam.Row(job->Dec.At(j), gDec, job->DecM.At(j), job->DecV.At(j), job->Width);
        job->Shape.Renormalise(job->Dec.At(j));
        Measure(job, j);
    }

    struct DenseJob
    {
        public Job Latents;
        public bool Decoder;
        public float* BiasGradient;
    }
}
