using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Cpu.Matmul;
using Diffract.Cpu.Threads;

namespace Diffract.Cpu.Crosscoder;

#pragma warning disable CS9113 // the operations below will use them
public sealed class CpuCrosscoderKernels(CpuPath path, WorkerPool pool, MatrixProduct product) : ICrosscoderKernels, IDisposable
{
    public void Dispose()
    {
    }

    public void EncodeSelect(Matrix acts_BE, Matrix wEnc_LE, Matrix bEnc_L, Matrix scale_L, Selection selection, SparseCode code)
        => throw new NotSupportedException();

    public void EncodeDense(Matrix acts_BE, Matrix wEnc_LE, Matrix bEnc_L, Matrix code_BL)
        => throw new NotSupportedException();

    public void SelectDead(Matrix acts_BE, Matrix wEnc_LE, Matrix bEnc_L, Matrix scale_L, ReadOnlySpan<int> latents, int perToken, SparseCode code)
        => throw new NotSupportedException();

    public void Decode(SparseCode code, Matrix wDec_LE, Matrix? bDec_E, Matrix recon_BE)
        => throw new NotSupportedException();

    public void DecodeDense(Matrix code_BL, Matrix wDec_LE, Matrix? bDec_E, Matrix recon_BE)
        => throw new NotSupportedException();

    public ResidualSums Residual(Matrix acts_BE, Matrix recon_BE, ReadOnlySpan<int> modelOffsets, bool meanSquared, Matrix? residual_BE, Matrix? grad_BE)
        => throw new NotSupportedException();

    public (double Squared, double Denominator) AuxResidual(Matrix residual_BE, Matrix auxRecon_BE, double alpha, Matrix grad_BE)
        => throw new NotSupportedException();

    public void CodeGradient(SparseCode code, Matrix grad_BE, Matrix wDec_LE, Matrix scale_L, float penalty)
        => throw new NotSupportedException();

    public void CodeGradientDense(Matrix code_BL, Matrix grad_BE, Matrix wDec_LE, Matrix scale_L, float penalty, Matrix codeGrad_BL)
        => throw new NotSupportedException();

    public void ColumnSums(Matrix grad_BE, Matrix sum_E)
        => throw new NotSupportedException();

    public double GradientSquares(ReadOnlySpan<LatentTerm> terms, Matrix acts_BE, in LatentParameters parameters)
        => throw new NotSupportedException();

    public void UpdateLatents(ReadOnlySpan<LatentTerm> terms, Matrix acts_BE, in LatentParameters parameters, in AdamStep adam)
        => throw new NotSupportedException();

    public void WeightGradientsDense(Matrix code_BL, Matrix codeGrad_BL, Matrix acts_BE, Matrix grad_BE, in LatentParameters parameters, Matrix gEnc_LE, Matrix gDec_LE, Matrix gBias_L)
        => throw new NotSupportedException();

    public double SumOfSquares(Matrix matrix)
        => throw new NotSupportedException();

    public void UpdateDense(Matrix w, Matrix gradient, Matrix adamM, Matrix adamV, in AdamStep adam)
        => throw new NotSupportedException();

    public void DecoderNorms(in LatentParameters parameters)
        => throw new NotSupportedException();

    public void CodeSums(SparseCode code, Matrix sum_L)
        => throw new NotSupportedException();
}
