using System.Diagnostics;
using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;

namespace Diffract.Bench;

/// <summary>A backend whose crosscoder ops are timed, each under its name.</summary>
sealed class TimedBackend(IBackend backend) : IBackend, ICrosscoderKernels
{
    readonly ICrosscoderKernels _kernels = backend.Crosscoder;
    readonly Dictionary<string, double> _seconds = [];

    /// <summary>Seconds by op since the last <see cref="Restart"/>.</summary>
    public IReadOnlyDictionary<string, double> Seconds => _seconds;

    /// <summary>Leaves out what runs meanwhile.</summary>
    public bool Paused { get; set; }

    public string Name => backend.Name;

    public string Description => backend.Description;

    public string KernelPath => backend.KernelPath;

    public ICrosscoderKernels Crosscoder => this;

    public ITransformerKernels Transformer => backend.Transformer;

    public IScalingKernels Scaling => backend.Scaling;

    public void Restart()
    {
        foreach (string op in _seconds.Keys.ToArray())
        {
            _seconds[op] = 0;
        }
    }

    public IBuffer Allocate(ElementType type, long length) => backend.Allocate(type, length);

    public void Upload(ReadOnlySpan<float> source, Matrix target) => backend.Upload(source, target);

    public void Download(Matrix source, Span<float> target) => backend.Download(source, target);

    public void Dispose() => backend.Dispose();

    public void EncodeSelect(Matrix acts_BE, Matrix wEnc_LE, Matrix bEnc_L, Matrix scale_L, Selection selection, SparseCode code)
    {
        long start = Stopwatch.GetTimestamp();
        _kernels.EncodeSelect(acts_BE, wEnc_LE, bEnc_L, scale_L, selection, code);
        Add(nameof(EncodeSelect), start);
    }

    public void EncodeSelectByModel(Matrix acts_BE, Matrix wEnc_LE, Matrix bEnc_L, Matrix norms_LM, int[] modelOffsets, ReadOnlySpan<Selection> byModel, SparseCode code)
    {
        long start = Stopwatch.GetTimestamp();
        _kernels.EncodeSelectByModel(acts_BE, wEnc_LE, bEnc_L, norms_LM, modelOffsets, byModel, code);
        Add(nameof(EncodeSelectByModel), start);
    }

    public long EncodeDense(Matrix acts_BE, Matrix wEnc_LE, Matrix bEnc_L, Matrix code_BL, Matrix? sum_L = null)
    {
        long start = Stopwatch.GetTimestamp();
        long active = _kernels.EncodeDense(acts_BE, wEnc_LE, bEnc_L, code_BL, sum_L);
        Add(nameof(EncodeDense), start);
        return active;
    }

    public void SelectDead(Matrix acts_BE, Matrix wEnc_LE, Matrix bEnc_L, Matrix scale_L, ReadOnlySpan<int> latents, int perToken, SparseCode code)
    {
        long start = Stopwatch.GetTimestamp();
        _kernels.SelectDead(acts_BE, wEnc_LE, bEnc_L, scale_L, latents, perToken, code);
        Add(nameof(SelectDead), start);
    }

    public void Decode(SparseCode code, Matrix wDec_LE, Matrix? bDec_E, Matrix recon_BE)
    {
        long start = Stopwatch.GetTimestamp();
        _kernels.Decode(code, wDec_LE, bDec_E, recon_BE);
        Add(nameof(Decode), start);
    }

    public void DecodeDense(Matrix code_BL, Matrix wDec_LE, Matrix? bDec_E, Matrix recon_BE)
    {
        long start = Stopwatch.GetTimestamp();
        _kernels.DecodeDense(code_BL, wDec_LE, bDec_E, recon_BE);
        Add(nameof(DecodeDense), start);
    }

    public ResidualSums Residual(Matrix acts_BE, Matrix recon_BE, ReadOnlySpan<int> modelOffsets, bool meanSquared, Matrix? residual_BE, Matrix? grad_BE)
    {
        long start = Stopwatch.GetTimestamp();
        ResidualSums result = _kernels.Residual(acts_BE, recon_BE, modelOffsets, meanSquared, residual_BE, grad_BE);
        Add(nameof(Residual), start);
        return result;
    }

    public (double Squared, double Denominator) AuxResidual(Matrix residual_BE, Matrix auxRecon_BE, double alpha, Matrix grad_BE)
    {
        long start = Stopwatch.GetTimestamp();
        (double Squared, double Denominator) result = _kernels.AuxResidual(residual_BE, auxRecon_BE, alpha, grad_BE);
        Add(nameof(AuxResidual), start);
        return result;
    }

    public void CodeGradient(SparseCode code, Matrix grad_BE, Matrix wDec_LE, Matrix scale_L, float penalty)
    {
        long start = Stopwatch.GetTimestamp();
        _kernels.CodeGradient(code, grad_BE, wDec_LE, scale_L, penalty);
        Add(nameof(CodeGradient), start);
    }

    public void CodeGradientDense(Matrix code_BL, Matrix grad_BE, Matrix wDec_LE, Matrix scale_L, float penalty, Matrix codeGrad_BL, Matrix sum_L)
    {
        long start = Stopwatch.GetTimestamp();
        _kernels.CodeGradientDense(code_BL, grad_BE, wDec_LE, scale_L, penalty, codeGrad_BL, sum_L);
        Add(nameof(CodeGradientDense), start);
    }

    public void ColumnSums(Matrix grad_BE, Matrix sum_E)
    {
        long start = Stopwatch.GetTimestamp();
        _kernels.ColumnSums(grad_BE, sum_E);
        Add(nameof(ColumnSums), start);
    }

    public void CentreGradient(ReadOnlySpan<LatentTerm> terms, Matrix wEnc_LE, Matrix sum_E)
    {
        long start = Stopwatch.GetTimestamp();
        _kernels.CentreGradient(terms, wEnc_LE, sum_E);
        Add(nameof(CentreGradient), start);
    }

    public void Affine(Matrix source_BE, Matrix? before_E, Matrix? factor_E, Matrix? after_E, Matrix target_BE)
    {
        long start = Stopwatch.GetTimestamp();
        _kernels.Affine(source_BE, before_E, factor_E, after_E, target_BE);
        Add(nameof(Affine), start);
    }

    public double GradientSquares(ReadOnlySpan<LatentTerm> terms, Matrix acts_BE, in LatentParameters parameters, bool keep = false)
    {
        long start = Stopwatch.GetTimestamp();
        double result = _kernels.GradientSquares(terms, acts_BE, parameters, keep);
        Add(nameof(GradientSquares), start);
        return result;
    }

    public void UpdateLatents(ReadOnlySpan<LatentTerm> terms, Matrix acts_BE, in LatentParameters parameters, in AdamStep adam)
    {
        long start = Stopwatch.GetTimestamp();
        _kernels.UpdateLatents(terms, acts_BE, parameters, adam);
        Add(nameof(UpdateLatents), start);
    }

    public double GradientSquaresDense(in DenseTerm term, Matrix acts_BE, in LatentParameters parameters)
    {
        long start = Stopwatch.GetTimestamp();
        double result = _kernels.GradientSquaresDense(term, acts_BE, parameters);
        Add(nameof(GradientSquaresDense), start);
        return result;
    }

    public void UpdateLatentsDense(in DenseTerm term, Matrix acts_BE, in LatentParameters parameters, in AdamStep adam)
    {
        long start = Stopwatch.GetTimestamp();
        _kernels.UpdateLatentsDense(term, acts_BE, parameters, adam);
        Add(nameof(UpdateLatentsDense), start);
    }

    public double SumOfSquares(Matrix matrix)
    {
        long start = Stopwatch.GetTimestamp();
        double result = _kernels.SumOfSquares(matrix);
        Add(nameof(SumOfSquares), start);
        return result;
    }

    public void UpdateDense(Matrix w, Matrix gradient, Matrix adamM, Matrix adamV, in AdamStep adam)
    {
        long start = Stopwatch.GetTimestamp();
        _kernels.UpdateDense(w, gradient, adamM, adamV, adam);
        Add(nameof(UpdateDense), start);
    }

    public void DecoderNorms(in LatentParameters parameters)
    {
        long start = Stopwatch.GetTimestamp();
        _kernels.DecoderNorms(parameters);
        Add(nameof(DecoderNorms), start);
    }

    public void CodeSums(SparseCode code, Matrix sum_L)
    {
        long start = Stopwatch.GetTimestamp();
        _kernels.CodeSums(code, sum_L);
        Add(nameof(CodeSums), start);
    }

    public void JumpGate(SparseCode code, Matrix scale_L, Matrix threshold_L)
    {
        long start = Stopwatch.GetTimestamp();
        _kernels.JumpGate(code, scale_L, threshold_L);
        Add(nameof(JumpGate), start);
    }

    public JumpSums JumpGradient(SparseCode code, Matrix scale_L, Matrix threshold_L, in JumpShape jump, Matrix gThreshold_L, Matrix gScale_L)
    {
        long start = Stopwatch.GetTimestamp();
        JumpSums result = _kernels.JumpGradient(code, scale_L, threshold_L, jump, gThreshold_L, gScale_L);
        Add(nameof(JumpGradient), start);
        return result;
    }

    void Add(string op, long start)
    {
        if (Paused)
        {
            return;
        }

        _seconds.TryGetValue(op, out double before);
        _seconds[op] = before + Stopwatch.GetElapsedTime(start).TotalSeconds;
    }
}
