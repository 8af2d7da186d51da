using Diffract.Compute;
using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Cpu.Matmul;
using Diffract.Cpu.Threads;

namespace Diffract.Cpu.Crosscoder;

/// <summary>The crosscoder set: checks shapes, calls the ops beside it. Scratch memory grows to the largest call and stays.</summary>
public sealed class CpuCrosscoderKernels : ICrosscoderKernels, IDisposable
{
    readonly WorkerPool _pool;
    readonly MatrixProduct _product;
    readonly CodeOrders _orders;
    readonly Decode _decode;
    readonly EncodeSelect _encode;
    readonly SelectDead _dead;
    readonly DenseCode _dense;
    readonly Residuals _residuals;
    readonly UpdateLatents _update;
    readonly JumpReLU _jump;
    readonly ByModel _byModel;
    HostBuffer _gamma = new(ElementType.Float32, 16);

    public CpuCrosscoderKernels(CpuPath path, ScreeningMode screening, WorkerPool pool, MatrixProduct product)
    {
        _pool = pool;
        _product = product;
        _orders = new CodeOrders(pool);
        _decode = new Decode(pool);
        _encode = new EncodeSelect(path, screening, pool, product, _orders);
        _dead = new SelectDead(pool, product, _orders);
        _dense = new DenseCode(pool, product);
        _residuals = new Residuals(pool);
        _update = new UpdateLatents(pool);
        _jump = new JumpReLU(pool);
        _byModel = new ByModel(_encode, _orders);
    }

    public void EncodeSelect(Matrix acts_BE, Matrix wEnc_LE, Matrix bEnc_L, Matrix scale_L, Selection selection, SparseCode code)
    {
        CheckEncoder("EncodeSelect", acts_BE, wEnc_LE, bEnc_L, scale_L);
        CheckRoom("EncodeSelect", acts_BE, wEnc_LE, code);
        if (selection.Rule == SelectionRule.ThresholdEach)
        {
            CheckEach("EncodeSelect", selection.Threshold_L ?? default, code);
        }

        code.Decouple(null);
        _encode.Run(acts_BE, wEnc_LE, bEnc_L, scale_L, selection, code);
    }

    public void EncodeSelectByModel(Matrix acts_BE, Matrix wEnc_LE, Matrix bEnc_L, Matrix norms_LM, int[] modelOffsets, ReadOnlySpan<Selection> byModel, SparseCode code)
    {
        CheckEncoder("EncodeSelectByModel", acts_BE, wEnc_LE, bEnc_L, bEnc_L);
        CheckRoom("EncodeSelectByModel", acts_BE, wEnc_LE, code);
        if (norms_LM.Rows != wEnc_LE.Rows || norms_LM.Columns != byModel.Length || modelOffsets.Length != byModel.Length + 1 || byModel.Length > LatentMasks.MostModels)
        {
            throw new ShapeException("EncodeSelectByModel", "norms [L, M], offsets [M + 1], a rule for each model", $"{norms_LM}, {modelOffsets.Length} offsets, {byModel.Length} rules");
        }

        _byModel.Encode(acts_BE, wEnc_LE, bEnc_L, norms_LM, modelOffsets, byModel, code);
    }

    public long EncodeDense(Matrix acts_BE, Matrix wEnc_LE, Matrix bEnc_L, Matrix code_BL, Matrix? sum_L = null)
    {
        CheckEncoder("EncodeDense", acts_BE, wEnc_LE, bEnc_L, bEnc_L);
        CheckCode("EncodeDense", acts_BE, wEnc_LE, code_BL);
        CheckBias("EncodeDense", sum_L, code_BL);
        return _dense.Encode(acts_BE, wEnc_LE, bEnc_L, code_BL, sum_L);
    }

    public void SelectDead(Matrix acts_BE, Matrix wEnc_LE, Matrix bEnc_L, Matrix scale_L, ReadOnlySpan<int> latents, int perToken, SparseCode code)
    {
        CheckEncoder("SelectDead", acts_BE, wEnc_LE, bEnc_L, scale_L);
        CheckRoom("SelectDead", acts_BE, wEnc_LE, code);
        code.Decouple(null);
        _dead.Run(acts_BE, wEnc_LE, bEnc_L, scale_L, latents, perToken, code);
    }

    public void Decode(SparseCode code, Matrix wDec_LE, Matrix? bDec_E, Matrix recon_BE)
    {
        bool fits = code.Tokens == recon_BE.Rows && code.Latents == wDec_LE.Rows && wDec_LE.Columns == recon_BE.Columns;
        if (!fits)
        {
            throw new ShapeException("Decode", "code [B, L], wDec [L, E], recon [B, E]", $"[{code.Tokens}, {code.Latents}], {wDec_LE}, {recon_BE}");
        }

        CheckBias("Decode", bDec_E, recon_BE);
        _decode.Run(code, wDec_LE, bDec_E, recon_BE);
    }

    public void DecodeDense(Matrix code_BL, Matrix wDec_LE, Matrix? bDec_E, Matrix recon_BE)
    {
        CheckBias("DecodeDense", bDec_E, recon_BE);
        _product.Times(code_BL, wDec_LE, recon_BE, bDec_E);
    }

    public ResidualSums Residual(Matrix acts_BE, Matrix recon_BE, ReadOnlySpan<int> modelOffsets, bool meanSquared, Matrix? residual_BE, Matrix? grad_BE)
    {
        CheckSame("Residual", acts_BE, recon_BE);
        CheckSame("Residual", acts_BE, residual_BE ?? acts_BE);
        CheckSame("Residual", acts_BE, grad_BE ?? acts_BE);
        if (!(modelOffsets.Length > 1 && modelOffsets[^1] == acts_BE.Columns))
        {
            throw new ShapeException("Residual", "the models' widths make E", $"{acts_BE}");
        }

        return _residuals.Run(acts_BE, recon_BE, modelOffsets, meanSquared, residual_BE, grad_BE);
    }

    public (double Squared, double Denominator) AuxResidual(Matrix residual_BE, Matrix auxRecon_BE, double alpha, Matrix grad_BE)
    {
        CheckSame("AuxResidual", residual_BE, auxRecon_BE);
        CheckSame("AuxResidual", residual_BE, grad_BE);
        return _residuals.Aux(residual_BE, auxRecon_BE, alpha, grad_BE);
    }

    public void CodeGradient(SparseCode code, Matrix grad_BE, Matrix wDec_LE, Matrix scale_L, float penalty)
    {
        bool fits = code.Tokens == grad_BE.Rows && code.Latents == wDec_LE.Rows && wDec_LE.Columns == grad_BE.Columns && scale_L.Columns == code.Latents;
        if (!fits)
        {
            throw new ShapeException("CodeGradient", "code [B, L], grad [B, E], wDec [L, E], s [1, L]", $"[{code.Tokens}, {code.Latents}], {grad_BE}, {wDec_LE}, {scale_L}");
        }

        if (code.ModelOffsets is not null)
        {
            ByModel.CodeGradient(_pool, code, grad_BE, wDec_LE, scale_L, penalty);
            return;
        }

        Crosscoder.CodeGradient.Run(_pool, code, grad_BE, wDec_LE, scale_L, penalty);
    }

    public void CodeGradientDense(Matrix code_BL, Matrix grad_BE, Matrix wDec_LE, Matrix scale_L, float penalty, Matrix codeGrad_BL, Matrix sum_L)
    {
        CheckCode("CodeGradientDense", grad_BE, wDec_LE, code_BL);
        CheckSame("CodeGradientDense", code_BL, codeGrad_BL);
        if (!(scale_L.Columns == code_BL.Columns))
        {
            throw new ShapeException("CodeGradientDense", "one s for each latent", $"{scale_L} for {code_BL}");
        }

        CheckBias("CodeGradientDense", sum_L, code_BL);
        _dense.Gradient(code_BL, grad_BE, wDec_LE, scale_L, penalty, codeGrad_BL, sum_L);
    }

    public void ColumnSums(Matrix grad_BE, Matrix sum_E)
    {
        if (!(sum_E.Rows == 1 && sum_E.Columns == grad_BE.Columns))
        {
            throw new ShapeException("ColumnSums", "one sum for each column", $"{sum_E} for {grad_BE}");
        }

        _residuals.ColumnSums(grad_BE, sum_E);
    }

    public void CentreGradient(ReadOnlySpan<LatentTerm> terms, Matrix wEnc_LE, Matrix sum_E)
    {
        if (!(sum_E.Rows == 1 && sum_E.Columns == wEnc_LE.Columns))
        {
            throw new ShapeException("CentreGradient", "one sum for each column", $"{sum_E} for {wEnc_LE}");
        }

        Matrix gamma_L = new(Scratch.Grow(ref _gamma, wEnc_LE.Rows), 1, wEnc_LE.Rows, wEnc_LE.Rows);
        Crosscoder.CodeGradient.Centre(_pool, terms, wEnc_LE, sum_E, gamma_L);
    }

    public void Affine(Matrix source_BE, Matrix? before_E, Matrix? factor_E, Matrix? after_E, Matrix target_BE)
    {
        CheckSame("Affine", source_BE, target_BE);
        foreach (Matrix? part_E in (ReadOnlySpan<Matrix?>)[before_E, factor_E, after_E])
        {
            CheckBias("Affine", part_E, source_BE);
        }

        _residuals.Affine(source_BE, before_E, factor_E, after_E, target_BE);
    }

    public double GradientSquares(ReadOnlySpan<LatentTerm> terms, Matrix acts_BE, in LatentParameters parameters, bool keep = false)
    {
        CheckTerms("GradientSquares", terms, acts_BE, parameters);
        DecoupledGradients(terms, parameters);
        return _update.GradientSquares(terms, acts_BE, parameters, keep);
    }

    public void UpdateLatents(ReadOnlySpan<LatentTerm> terms, Matrix acts_BE, in LatentParameters parameters, in AdamStep adam)
    {
        CheckTerms("UpdateLatents", terms, acts_BE, parameters);
        DecoupledGradients(terms, parameters);
        _update.Update(terms, acts_BE, parameters, adam);
    }

    public double GradientSquaresDense(in DenseTerm term, Matrix acts_BE, in LatentParameters parameters)
    {
        CheckTerm("GradientSquaresDense", term, acts_BE, parameters);
        return _update.GradientSquares(_product, term, acts_BE, parameters);
    }

    public void UpdateLatentsDense(in DenseTerm term, Matrix acts_BE, in LatentParameters parameters, in AdamStep adam)
    {
        CheckTerm("UpdateLatentsDense", term, acts_BE, parameters);
        _update.Update(_product, term, acts_BE, parameters, adam);
    }

    public double SumOfSquares(Matrix matrix) => _residuals.SumOfSquares(matrix);

    public void UpdateDense(Matrix w, Matrix gradient, Matrix adamM, Matrix adamV, in AdamStep adam)
    {
        CheckSame("UpdateDense", w, gradient);
        CheckSame("UpdateDense", w, adamM);
        CheckSame("UpdateDense", w, adamV);
        Adam.Run(_pool, w, gradient, adamM, adamV, adam);
    }

    public void DecoderNorms(in LatentParameters parameters) => _update.Norms(parameters);

    public void CodeSums(SparseCode code, Matrix sum_L)
    {
        if (!(sum_L.Rows == 1 && sum_L.Columns == code.Latents))
        {
            throw new ShapeException("CodeSums", "one sum for each latent", $"{sum_L} for {code.Latents} latents");
        }

        Crosscoder.CodeGradient.Sums(_pool, code, sum_L);
    }

    public void JumpGate(SparseCode code, Matrix scale_L, Matrix threshold_L)
    {
        CheckEach("JumpGate", scale_L, code);
        CheckEach("JumpGate", threshold_L, code);
        _jump.Gate(code, scale_L, threshold_L);
    }

    public JumpSums JumpGradient(SparseCode code, Matrix scale_L, Matrix threshold_L, in JumpShape jump, Matrix gThreshold_L, Matrix gScale_L)
    {
        foreach (Matrix each_L in (ReadOnlySpan<Matrix>)[scale_L, threshold_L, gThreshold_L, gScale_L])
        {
            CheckEach("JumpGradient", each_L, code);
        }

        return _jump.Gradient(code, scale_L, threshold_L, jump, gThreshold_L, gScale_L);
    }

    public void Dispose()
    {
        _orders.Dispose();
        _decode.Dispose();
        _encode.Dispose();
        _dead.Dispose();
        _dense.Dispose();
        _residuals.Dispose();
        _update.Dispose();
        _jump.Dispose();
        _byModel.Dispose();
        _gamma.Dispose();
    }

    /// <summary>Code gradients that are left to an op, of codes for which the visit of the latents does not sum them.</summary>
    void DecoupledGradients(ReadOnlySpan<LatentTerm> terms, in LatentParameters parameters)
    {
        foreach (LatentTerm term in terms)
        {
            if (term.Penalty is { } penalty && term.Code.ModelOffsets is not null)
            {
                CodeGradient(term.Code, term.Grad_BE, parameters.WDec_LE, parameters.Scale_L, penalty);
            }
        }
    }

    static void CheckEncoder(string operation, Matrix acts_BE, Matrix wEnc_LE, Matrix bEnc_L, Matrix scale_L)
    {
        if (acts_BE.Columns != wEnc_LE.Columns || bEnc_L.Columns != wEnc_LE.Rows || scale_L.Columns != wEnc_LE.Rows)
        {
            throw new ShapeException(operation, "acts [B, E], wEnc [L, E], bEnc and s [1, L]", $"{acts_BE}, {wEnc_LE}, {bEnc_L}, {scale_L}");
        }
    }

    static void CheckRoom(string operation, Matrix acts_BE, Matrix wEnc_LE, SparseCode code)
    {
        if (acts_BE.Rows > code.MaxTokens || wEnc_LE.Rows != code.Latents)
        {
            throw new ShapeException(operation, "the code has room for B tokens and is of L latents", $"[{code.MaxTokens}, {code.Latents}] for {acts_BE}, {wEnc_LE}");
        }
    }

    static void CheckCode(string operation, Matrix acts_BE, Matrix w_LE, Matrix code_BL)
    {
        if (acts_BE.Columns != w_LE.Columns || code_BL.Rows != acts_BE.Rows || code_BL.Columns != w_LE.Rows)
        {
            throw new ShapeException(operation, "[B, E], [L, E], code [B, L]", $"{acts_BE}, {w_LE}, {code_BL}");
        }
    }

    static void CheckSame(string operation, Matrix a, Matrix b)
    {
        if (a.Rows != b.Rows || a.Columns != b.Columns)
        {
            throw new ShapeException(operation, "equal shapes", $"{a} and {b}");
        }
    }

    static void CheckBias(string operation, Matrix? bDec_E, Matrix recon_BE)
    {
        if (bDec_E is { } bias && bias.Columns != recon_BE.Columns)
        {
            throw new ShapeException(operation, "one bias for each column", $"{bias} for {recon_BE}");
        }
    }

    static void CheckEach(string operation, Matrix each_L, SparseCode code)
    {
        if (each_L.Buffer is null || each_L.Columns != code.Latents)
        {
            throw new ShapeException(operation, "one number for each latent, [1, L]", $"{(each_L.Buffer is null ? "none" : each_L.ToString())} for {code.Latents} latents");
        }
    }

    static void CheckTerm(string operation, in DenseTerm term, Matrix acts_BE, in LatentParameters parameters)
    {
        CheckSame(operation, term.Code_BL, term.CodeGrad_BL);
        CheckSame(operation, term.Grad_BE, acts_BE);
        CheckBias(operation, term.BiasGrad_L, term.Code_BL);
        bool fits = term.Code_BL.Rows == acts_BE.Rows && term.Code_BL.Columns == parameters.WEnc_LE.Rows
            && acts_BE.Columns == parameters.WEnc_LE.Columns && parameters.ModelOffsets[^1] == acts_BE.Columns;
        if (!fits)
        {
            throw new ShapeException(operation, "code [B, L], activations [B, E]", $"{term.Code_BL}, {acts_BE}, {parameters.WEnc_LE}");
        }
    }

    static void CheckTerms(string operation, ReadOnlySpan<LatentTerm> terms, Matrix acts_BE, in LatentParameters parameters)
    {
        bool fits = acts_BE.Columns == parameters.WEnc_LE.Columns && parameters.ModelOffsets[^1] == acts_BE.Columns;
        foreach (LatentTerm term in terms)
        {
            fits &= term.Code.Tokens == acts_BE.Rows && term.Code.Latents == parameters.WEnc_LE.Rows;
            fits &= term.Grad_BE.Rows == acts_BE.Rows && term.Grad_BE.Columns == acts_BE.Columns;
        }

        if (!fits)
        {
            throw new ShapeException(operation, "terms of B tokens and L latents, gradients [B, E]", $"{terms.Length} terms, {acts_BE}, {parameters.WEnc_LE}");
        }
    }
}
