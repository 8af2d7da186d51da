using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Crosscoders;

namespace Diffract.Training;

/// <summary>The dense form of an L1 step: whole code matrices, for batches where most latents fire. Its memory: two matrices [B, L].</summary>
sealed class DenseStep : IDisposable
{
    readonly Crosscoder _crosscoder;
    readonly ICrosscoderKernels _kernels;
    readonly Matrix _codeGrad_BL;
    readonly Matrix _biasGrad_L;

    public DenseStep(Crosscoder crosscoder, int batch)
    {
        (_crosscoder, _kernels) = (crosscoder, crosscoder.Backend.Crosscoder);
        // 16 columns more than needed: rows a power of two apart would share the same few cache sets.
        Code_BL = crosscoder.Backend.Matrix(batch, crosscoder.Latents + 16).SliceColumns(0, crosscoder.Latents);
        _codeGrad_BL = crosscoder.Backend.Matrix(batch, crosscoder.Latents + 16).SliceColumns(0, crosscoder.Latents);
        _biasGrad_L = crosscoder.Backend.Matrix(1, crosscoder.Latents);
    }

    /// <summary>The code of the last <see cref="Forward"/>.</summary>
    public Matrix Code_BL { get; }

    /// <summary>Code, reconstruction [B, E] and sums of the code over the batch [1, L]; returns the number of active pairs.</summary>
    public long Forward(Matrix acts_BE, Matrix recon_BE, Matrix sum_L)
    {
        Crosscoder c = _crosscoder;
        long active = _kernels.EncodeDense(acts_BE, c.WEnc_LE, c.BEnc_L, Code_BL, sum_L);
        _kernels.DecodeDense(Code_BL, c.WDec_LE, c.BDec_E, recon_BE);
        return active;
    }

    /// <summary>The source of all gradients of the latents, from dLoss/dRecon [B, E] and the penalty on each active pair.</summary>
    public DenseTerm Backward(Matrix grad_BE, float penalty)
    {
        _kernels.CodeGradientDense(Code_BL, grad_BE, _crosscoder.WDec_LE, _crosscoder.Scale_L, penalty, _codeGrad_BL, _biasGrad_L);
        return new DenseTerm(Code_BL, _codeGrad_BL, _biasGrad_L, grad_BE);
    }

    public void Dispose()
    {
        foreach (Matrix matrix in (ReadOnlySpan<Matrix>)[Code_BL, _codeGrad_BL, _biasGrad_L])
        {
            matrix.Buffer.Dispose();
        }
    }
}
