using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Crosscoders;

namespace Diffract.Training;

/// <summary>The dense form of an L1 step: whole code matrices and weight gradients, for batches where most latents fire.</summary>
sealed class DenseStep : IDisposable
{
    readonly Crosscoder _crosscoder;
    readonly ICrosscoderKernels _kernels;
    readonly Matrix _code_BL;
    readonly Matrix _codeGrad_BL;
    readonly Matrix _gEnc_LE;
    readonly Matrix _gDec_LE;
    readonly Matrix _gBias_L;

    public DenseStep(Crosscoder crosscoder, int batch)
    {
        (_crosscoder, _kernels) = (crosscoder, crosscoder.Backend.Crosscoder);
        _code_BL = crosscoder.Backend.Matrix(batch, crosscoder.Latents);
        _codeGrad_BL = crosscoder.Backend.Matrix(batch, crosscoder.Latents);
        _gEnc_LE = crosscoder.Backend.Matrix(crosscoder.Latents, crosscoder.E);
        _gDec_LE = crosscoder.Backend.Matrix(crosscoder.Latents, crosscoder.E);
        _gBias_L = crosscoder.Backend.Matrix(1, crosscoder.Latents);
    }

    /// <summary>[B, L]: the code of the last <see cref="Forward"/>.</summary>
    public Matrix Code_BL => _code_BL;

    /// <summary>Code, reconstruction [B, E] and sums of the code over the batch [1, L]; returns the number of active pairs.</summary>
    public long Forward(Matrix acts_BE, Matrix recon_BE, Matrix sum_L)
    {
        Crosscoder c = _crosscoder;
        _kernels.EncodeDense(acts_BE, c.WEnc_LE, c.BEnc_L, _code_BL);
        _kernels.DecodeDense(_code_BL, c.WDec_LE, c.BDec_E, recon_BE);
        _kernels.ColumnSums(_code_BL, sum_L);
        long active = 0;
        for (int b = 0; b < _code_BL.Rows; b++)
        {
            foreach (float f in _code_BL.Row(b))
            {
                active += f > 0 ? 1 : 0;
            }
        }

        return active;
    }

    /// <summary>All gradients of the latents from dLoss/dRecon [B, E] and the penalty on each active pair.</summary>
    public void Backward(Matrix acts_BE, Matrix grad_BE, float penalty, in LatentParameters parameters)
    {
        _kernels.CodeGradientDense(_code_BL, grad_BE, _crosscoder.WDec_LE, _crosscoder.Scale_L, penalty, _codeGrad_BL);
        _kernels.WeightGradientsDense(_code_BL, _codeGrad_BL, acts_BE, grad_BE, parameters, _gEnc_LE, _gDec_LE, _gBias_L);
    }

    /// <summary>Sum of squares of the gradients of <see cref="Backward"/>.</summary>
    public double GradientSquares() => _kernels.SumOfSquares(_gEnc_LE) + _kernels.SumOfSquares(_gDec_LE) + _kernels.SumOfSquares(_gBias_L);

    public void Update(in LatentParameters parameters, in AdamStep adam)
    {
        _kernels.UpdateDense(parameters.WEnc_LE, _gEnc_LE, parameters.EncM_LE, parameters.EncV_LE, adam);
        _kernels.UpdateDense(parameters.WDec_LE, _gDec_LE, parameters.DecM_LE, parameters.DecV_LE, adam);
        _kernels.UpdateDense(parameters.BEnc_L, _gBias_L, parameters.BiasM_L, parameters.BiasV_L, adam);
        _kernels.DecoderNorms(parameters);
    }

    public void Dispose()
    {
        foreach (Matrix matrix in (ReadOnlySpan<Matrix>)[_code_BL, _codeGrad_BL, _gEnc_LE, _gDec_LE, _gBias_L])
        {
            matrix.Buffer.Dispose();
        }
    }
}
