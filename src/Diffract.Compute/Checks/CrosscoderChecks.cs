using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;

namespace Diffract.Compute.Checks;

/// <summary>One check for each operation of <see cref="ICrosscoderKernels"/>.</summary>
static class CrosscoderChecks
{
    const int B = CheckInputs.Tokens;
    const int L = CheckInputs.Latents;

    public static IEnumerable<OpCheck> All =>
    [
        Op(nameof(ICrosscoderKernels.EncodeSelect), Tolerance.MatMul, (k, x, backend) =>
        {
            using SparseCode code = x.Code(backend), above = new(B, L, 16);
            k.EncodeSelect(x.Acts_BE, x.Parameters.WEnc_LE, x.Parameters.BEnc_L, x.Parameters.Scale_L, Selection.Above(0.7f), above);
            return [CheckInputs.Dense(code, code.PairValue), CheckInputs.Dense(above, above.PairValue), [code.SmallestScaled]];
        }),
        Op(nameof(ICrosscoderKernels.EncodeSelectByModel), Tolerance.MatMul, (k, x, _) =>
        {
            using SparseCode code = new(B, L, 16);
            LatentParameters p = x.Parameters;
            k.EncodeSelectByModel(x.Acts_BE, p.WEnc_LE, p.BEnc_L, p.Norms_LM, CheckInputs.Offsets, [Selection.BatchTopK(10 * B), Selection.BatchTopK(7 * B)], code);
            return [CheckInputs.Dense(code, code.PairValue), [.. code.PairModels!.Span<int>()[..code.Pairs].ToArray().Select(m => (double)m)]];
        }),
        Op(nameof(ICrosscoderKernels.EncodeDense), Tolerance.MatMul, (k, x, _) =>
        {
            Matrix code_BL = Matrix.Host(B, L), sum_L = Matrix.Host(1, L);
            long active = k.EncodeDense(x.Acts_BE, x.Parameters.WEnc_LE, x.Parameters.BEnc_L, code_BL, sum_L);
            return [[active], CheckInputs.Values(code_BL), CheckInputs.Values(sum_L)];
        }),
        Op(nameof(ICrosscoderKernels.SelectDead), Tolerance.MatMul, (k, x, _) =>
        {
            using SparseCode code = new(B, L, 16);
            k.SelectDead(x.Acts_BE, x.Parameters.WEnc_LE, x.Parameters.BEnc_L, x.Parameters.Scale_L, [.. Enumerable.Range(0, L).Where(j => j % 3 == 0)], 9, code);
            return [CheckInputs.Dense(code, code.PairValue)];
        }),
        Op(nameof(ICrosscoderKernels.Decode), Tolerance.MatMul, (k, x, backend) =>
        {
            using SparseCode code = x.Code(backend);
            return Written(B, CheckInputs.E, recon_BE => k.Decode(code, x.Parameters.WDec_LE, x.BDec_E, recon_BE));
        }),
        Op(nameof(ICrosscoderKernels.DecodeDense), Tolerance.MatMul, (k, x, _) => Written(B, CheckInputs.E, recon_BE => k.DecodeDense(x.Code_BL, x.Parameters.WDec_LE, x.BDec_E, recon_BE))),
        Op(nameof(ICrosscoderKernels.Residual), Tolerance.Elementwise, (k, x, _) =>
        {
            Matrix residual_BE = Matrix.Host(B, CheckInputs.E), grad_BE = Matrix.Host(B, CheckInputs.E);
            ResidualSums sums = k.Residual(x.Acts_BE, x.Grad_BE, CheckInputs.Offsets, false, residual_BE, grad_BE);
            return [[sums.NormSum], [sums.SquareSum], CheckInputs.Values(residual_BE), CheckInputs.Values(grad_BE)];
        }),
        Op(nameof(ICrosscoderKernels.AuxResidual), Tolerance.Elementwise, (k, x, _) =>
        {
            Matrix grad_BE = Matrix.Host(B, CheckInputs.E);
            (double squared, double denominator) = k.AuxResidual(x.Acts_BE, x.Grad_BE, 1.0 / 32, grad_BE);
            return [[squared], [denominator], CheckInputs.Values(grad_BE)];
        }),
        Op(nameof(ICrosscoderKernels.CodeGradient), Tolerance.MatMul, (_, x, backend) =>
        {
            using SparseCode code = x.Code(backend);
            return [CheckInputs.Dense(code, code.PairGradient)];
        }),
        Op(nameof(ICrosscoderKernels.CodeGradientDense), Tolerance.MatMul, (k, x, _) =>
        {
            DenseTerm term = Dense(k, x);
            return [CheckInputs.Values(term.CodeGrad_BL), CheckInputs.Values(term.BiasGrad_L)];
        }),
        Op(nameof(ICrosscoderKernels.ColumnSums), Tolerance.Elementwise, (k, x, _) => Written(1, CheckInputs.E, sum_E => k.ColumnSums(x.Grad_BE, sum_E))),
        Op(nameof(ICrosscoderKernels.CentreGradient), Tolerance.MatMul, (k, x, backend) =>
        {
            using SparseCode code = x.Code(backend);
            return Written(1, CheckInputs.E, sum_E => k.CentreGradient([new LatentTerm(code, x.Grad_BE)], x.Parameters.WEnc_LE, sum_E));
        }),
        Op(nameof(ICrosscoderKernels.Affine), Tolerance.Elementwise, (k, x, _) =>
            Written(B, CheckInputs.E, target_BE => k.Affine(x.Acts_BE, x.BDec_E, x.Grad_BE.SliceRows(0, 1), x.Grad_BE.SliceRows(1, 1), target_BE))),
        Op(nameof(ICrosscoderKernels.GradientSquares), Tolerance.MatMul, (k, x, backend) =>
        {
            using SparseCode code = x.Code(backend);
            return [[k.GradientSquares([new LatentTerm(code, x.Grad_BE)], x.Acts_BE, x.Parameters)]];
        }),
        Op(nameof(ICrosscoderKernels.UpdateLatents), Tolerance.Adam, (k, x, backend) =>
        {
            using SparseCode code = x.Code(backend);
            k.UpdateLatents([new LatentTerm(code, x.Grad_BE)], x.Acts_BE, x.Parameters, AdamStep.At(3, 1e-3, clip: 0.4));
            return x.Moved();
        }),
        Op(nameof(ICrosscoderKernels.GradientSquaresDense), Tolerance.MatMul, (k, x, _) => [[k.GradientSquaresDense(Dense(k, x), x.Acts_BE, x.Parameters)]]),
        Op(nameof(ICrosscoderKernels.UpdateLatentsDense), Tolerance.Adam, (k, x, _) =>
        {
            k.UpdateLatentsDense(Dense(k, x), x.Acts_BE, x.Parameters, AdamStep.At(3, 1e-3, clip: 0.4));
            return x.Moved();
        }),
        Op(nameof(ICrosscoderKernels.SumOfSquares), Tolerance.DoubleSums, (k, x, _) => [[k.SumOfSquares(x.Grad_BE)]]),
        Op(nameof(ICrosscoderKernels.UpdateDense), Tolerance.Adam, (k, x, _) =>
        {
            k.UpdateDense(x.Parameters.WEnc_LE, x.Parameters.WDec_LE, x.Parameters.EncM_LE, x.Parameters.EncV_LE, AdamStep.At(2, 1e-3, clip: 1));
            return x.Moved();
        }),
        Op(nameof(ICrosscoderKernels.DecoderNorms), Tolerance.Elementwise, (k, x, _) =>
        {
            k.DecoderNorms(x.Parameters);
            return x.Moved();
        }),
        Op(nameof(ICrosscoderKernels.CodeSums), Tolerance.Elementwise, (k, x, backend) =>
        {
            using SparseCode code = x.Code(backend);
            return Written(1, L, sum_L => k.CodeSums(code, sum_L));
        }),
        Op(nameof(ICrosscoderKernels.JumpGate), Tolerance.MatMul, (k, x, backend) =>
        {
            using SparseCode code = x.Code(backend);
            k.JumpGate(code, x.Parameters.Scale_L, x.Positive(1, L));
            return [CheckInputs.Dense(code, code.PairValue), CheckInputs.Dense(code, code.PairInput)];
        }),
        Op(nameof(ICrosscoderKernels.JumpGradient), Tolerance.MatMul, (k, x, backend) =>
        {
            using SparseCode code = x.Code(backend);
            Matrix threshold_L = x.Positive(1, L), gThreshold_L = Matrix.Host(1, L), gScale_L = Matrix.Host(1, L);
            k.JumpGate(code, x.Parameters.Scale_L, threshold_L);
            JumpSums sums = k.JumpGradient(code, x.Parameters.Scale_L, threshold_L, new JumpShape(0.3, 2, 0.01), gThreshold_L, gScale_L);
            return [[sums.Active], [sums.Penalty], CheckInputs.Values(gThreshold_L), CheckInputs.Values(gScale_L), CheckInputs.Dense(code, code.PairGradient)];
        }),
    ];

    /// <summary>The backend's own gradient of the dense code.</summary>
    static DenseTerm Dense(ICrosscoderKernels k, CheckInputs x)
    {
        Matrix codeGrad_BL = Matrix.Host(B, L), sum_L = Matrix.Host(1, L);
        k.CodeGradientDense(x.Code_BL, x.Grad_BE, x.Parameters.WDec_LE, x.Parameters.Scale_L, 0.01f, codeGrad_BL, sum_L);
        return new DenseTerm(x.Code_BL, codeGrad_BL, sum_L, x.Grad_BE);
    }

    static List<double[]> Written(int rows, int columns, Action<Matrix> write)
    {
        Matrix matrix = Matrix.Host(rows, columns);
        write(matrix);
        return [CheckInputs.Values(matrix)];
    }

    static OpCheck Op(string name, double allowed, Func<ICrosscoderKernels, CheckInputs, IBackend, List<double[]>> compute)
        => new("crosscoder", name, allowed, backend => compute(backend.Crosscoder, new CheckInputs(), backend));
}
