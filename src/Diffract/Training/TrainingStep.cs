using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Crosscoders;
using Diffract.Runs;

namespace Diffract.Training;

/// <summary>
/// One step: code, reconstruction, losses, gradients, clipping, Adam (spec 3.3, 3.5). Sparse over active pairs, or dense where most pairs of the step before were active.
/// Nothing is allocated once each form has run.
/// </summary>
public sealed partial class TrainingStep : IDisposable
{
    readonly TrainingConfig _config;
    readonly Crosscoder _crosscoder;
    readonly TrainingState _state;
    readonly ICrosscoderKernels _kernels;
    readonly LatentParameters _parameters;
    readonly SparseCode _code;
    readonly SparseCode? _auxCode;
    readonly LatentTerm[] _terms = new LatentTerm[2];
    readonly Matrix _recon_BE;
    readonly Matrix _grad_BE;
    readonly Matrix _biasGrad_E;
    readonly Matrix _sum_L;
    readonly List<Matrix> _owned = [];
    (Matrix Residual_BE, Matrix Recon_BE, Matrix Grad_BE)? _aux;
    readonly Matrix? _centred_BE;
    readonly Resampling? _resampling;
    readonly (Matrix Floor_L, Matrix GThreshold_L, Matrix GScale_L)? _jump;
    DenseStep? _dense;

    public TrainingStep(TrainingConfig config, Crosscoder crosscoder, TrainingState state)
    {
        (_config, _crosscoder, _state, _kernels) = (config, crosscoder, state, crosscoder.Backend.Crosscoder);
        _code = crosscoder.NewCode(config.Batch);
        _recon_BE = New(config.Batch, crosscoder.E);
        _grad_BE = New(config.Batch, crosscoder.E);
        _biasGrad_E = New(1, crosscoder.E);
        _sum_L = New(1, crosscoder.Latents);
        _jump = config.Crosscoder.Kind == CrosscoderKind.JumpReLU ? (New(1, crosscoder.Latents), New(1, crosscoder.Latents), New(1, crosscoder.Latents)) : null;
        _auxCode = config.Crosscoder.Kind != CrosscoderKind.L1 ? new SparseCode(config.Batch, crosscoder.Latents, config.Batch) : null;
        bool pulls = config.Crosscoder.Kind != CrosscoderKind.BatchTopK && config.Crosscoder.CodeNorm.Kind != CodeNormKind.None;
        _parameters = new LatentParameters(
            crosscoder.WEnc_LE, crosscoder.BEnc_L, crosscoder.WDec_LE,
            state.EncM_LE, state.EncV_LE, state.BiasM_L, state.BiasV_L, state.DecM_LE, state.DecV_LE,
            crosscoder.Norms_LM, crosscoder.Scale_L, crosscoder.ModelOffsets, crosscoder.Config.CodeNorm, pulls ? New(crosscoder.Latents, crosscoder.Models) : null,
            crosscoder.Masks, crosscoder.Config.Sae);
        _centred_BE = crosscoder.Config.Sae ? New(config.Batch, crosscoder.E) : null;
        _resampling = config.ResampleEvery is { } every ? new Resampling(crosscoder, state, every, config.Seed) : null;
    }

    /// <summary>Trains on one batch [B, E] of normalised activations and moves the state to the next step.</summary>
    /// <exception cref="DiffractException">The loss is not a finite number; weights are as before the step.</exception>
    public StepRecord Run(Matrix acts_BE)
    {
        StepRecord record = _config.Crosscoder.Kind == CrosscoderKind.BatchTopK ? BatchTopK(acts_BE)
            : _config.Crosscoder.Kind == CrosscoderKind.JumpReLU ? JumpReLU(acts_BE)
            : _state.Density > _config.DenseAbove ? L1Dense(acts_BE)
            : L1Sparse(acts_BE);
        _resampling?.Run(acts_BE);
        _state.Step++;
        return record;
    }

    public void Dispose()
    {
        _code.Dispose();
        _auxCode?.Dispose();
        _dense?.Dispose();
        _resampling?.Dispose();
        foreach (Matrix matrix in _owned)
        {
            matrix.Buffer.Dispose();
        }
    }

    StepRecord BatchTopK(Matrix acts_BE)
    {
        Crosscoder c = _crosscoder;
        int k = _config.KAt(_state.Step);
        Matrix input_BE = Input(acts_BE);
        c.EncodeLargest(input_BE, k * acts_BE.Rows, _code);
        c.DecodeNormalised(_code, _recon_BE);
        _state.Firing.Observe(_code);
        bool anyDead = AnyDead();
        ResidualSums sums = _kernels.Residual(acts_BE, _recon_BE, c.ModelOffsets, _config.Loss == LossKind.Mse, anyDead ? _aux!.Value.Residual_BE : null, _grad_BE);
        double aux = anyDead ? Auxiliary(input_BE) : 0;
        (double l2, double mse) = Means(sums, acts_BE.Rows);
        double loss = (_config.Loss == LossKind.Mse ? mse : l2) + _config.AuxAlpha * aux;
        RequireFinite(loss, acts_BE);
        if (_state.Step > _config.ThresholdFrom)
        {
            for (int m = 0; m < c.Thresholds.Length; m++)
            {
                float smallest = c.Decoupled ? _code.SmallestByModel[m] : _code.SmallestScaled;
                c.Thresholds[m] = SelectionThreshold.Next(c.Thresholds[m], smallest, _config.ThresholdBeta);
            }
        }

        _terms[0] = Term(_code, _grad_BE, 0);
        (double norm, double rate) = Update(input_BE, _terms.AsSpan(0, anyDead ? 2 : 1));
        _state.Density = Density(_code.Pairs, acts_BE.Rows);
        return new StepRecord(_state.Step, loss, l2, mse, double.NaN, aux, c.Threshold, _state.Firing.Dead.Length, k, norm, rate, (double)_code.Pairs / acts_BE.Rows)
        {
            Thresholds = c.Decoupled ? c.Thresholds : null,
        };
    }

    /// <summary>What the encoder sees: the batch, of an SAE without its decoder bias.</summary>
    Matrix Input(Matrix acts_BE)
    {
        if (_centred_BE is not { } centred_BE)
        {
            return acts_BE;
        }

        centred_BE = centred_BE.SliceRows(0, acts_BE.Rows);
        _crosscoder.Centre(acts_BE, centred_BE);
        return centred_BE;
    }

    /// <summary>Whether there is an auxiliary loss; makes its buffers.</summary>
    bool AnyDead()
    {
        bool any = _state.Firing.Dead.Length > 0;
        if (any)
        {
            _aux ??= (New(_config.Batch, _crosscoder.E), New(_config.Batch, _crosscoder.E), New(_config.Batch, _crosscoder.E));
        }

        return any;
    }

    /// <summary>The auxiliary loss: dead latents explain the residual (spec 3.5). Ranking and residual carry no gradient.</summary>
    double Auxiliary(Matrix input_BE)
    {
        Crosscoder c = _crosscoder;
        (Matrix residual_BE, Matrix recon_BE, Matrix grad_BE) = _aux!.Value;
        ReadOnlySpan<int> dead = _state.Firing.Dead;
        _kernels.SelectDead(input_BE, c.WEnc_LE, c.BEnc_L, c.Scale_L, dead, Math.Min(_config.AuxPerToken, dead.Length), _auxCode!);
        _kernels.Decode(_auxCode!, c.WDec_LE, null, recon_BE);
        (double squared, double denominator) = _kernels.AuxResidual(residual_BE, recon_BE, _config.AuxAlpha, grad_BE);
        _terms[1] = Term(_auxCode!, grad_BE, 0);
        return denominator > 0 ? squared / denominator : 0;
    }

    StepRecord L1Sparse(Matrix acts_BE)
    {
        Crosscoder c = _crosscoder;
        _kernels.EncodeSelect(acts_BE, c.WEnc_LE, c.BEnc_L, c.Scale_L, Selection.Positive, _code);
        _kernels.Decode(_code, c.WDec_LE, c.BDec_E, _recon_BE);
        ResidualSums sums = _kernels.Residual(acts_BE, _recon_BE, c.ModelOffsets, _config.Loss == LossKind.Mse, null, _grad_BE);
        _kernels.CodeSums(_code, _sum_L);
        StepRecord record = L1Record(sums, _code.Pairs, acts_BE);
        _state.Firing.Observe(_code);
        _resampling?.Observe(_code);
        _terms[0] = Term(_code, _grad_BE, Penalty(acts_BE));
        (double norm, double rate) = Update(acts_BE, _terms.AsSpan(0, 1));
        return record with { GradNorm = norm, LearningRate = rate, Dead = _state.Firing.Dead.Length };
    }

    StepRecord L1Dense(Matrix acts_BE)
    {
        Crosscoder c = _crosscoder;
        _dense ??= new DenseStep(c, _config.Batch);
        long pairs = _dense.Forward(acts_BE, _recon_BE, _sum_L);
        ResidualSums sums = _kernels.Residual(acts_BE, _recon_BE, c.ModelOffsets, _config.Loss == LossKind.Mse, null, _grad_BE);
        StepRecord record = L1Record(sums, pairs, acts_BE);
        _state.Firing.Observe(acts_BE.Rows, _sum_L);
        _resampling?.Observe(_dense.Code_BL);
        DenseTerm term = _dense.Backward(_grad_BE, Penalty(acts_BE));
        _kernels.ColumnSums(_grad_BE, _biasGrad_E);
        double norm = _config.Clip is null ? double.NaN : Math.Sqrt(_kernels.GradientSquaresDense(term, acts_BE, _parameters) + _kernels.SumOfSquares(_biasGrad_E));
        (AdamStep adam, double rate) = Adam(norm);
        _kernels.UpdateLatentsDense(term, acts_BE, _parameters, adam);
        _kernels.UpdateDense(c.BDec_E, _biasGrad_E, _state.DecBiasM_E, _state.DecBiasV_E, adam);
        return record with { GradNorm = norm, LearningRate = rate, Dead = _state.Firing.Dead.Length };
    }

    /// <summary>Losses of an L1 step, and the pull of its penalty on the decoder norms.</summary>
    StepRecord L1Record(ResidualSums sums, long pairs, Matrix acts_BE)
    {
        (double l2, double mse) = Means(sums, acts_BE.Rows);
        Span<float> sum = _sum_L.Row(0);
        Span<float> scale = _crosscoder.Scale_L.Row(0);
        int shard = _code.ShardSize;
        Span<double> sparsities = stackalloc double[(sum.Length + shard - 1) / shard];
        sparsities.Clear();
        for (int j = 0; j < sum.Length; j++)
        {
            sparsities[j / shard] += (double)sum[j] * scale[j];
        }

        Pull(sum, _config.Mu / acts_BE.Rows);
        double sparsity = VirtualShards.Add(sparsities) / acts_BE.Rows;
        double loss = (_config.Loss == LossKind.Mse ? mse : l2) + _config.Mu * sparsity;
        RequireFinite(loss, acts_BE);
        _state.Density = Density(pairs, acts_BE.Rows);
        return new StepRecord(_state.Step, loss, l2, mse, sparsity, double.NaN, double.NaN, 0, double.NaN, double.NaN, 0, (double)pairs / acts_BE.Rows);
    }

    /// <summary>dLoss/d‖d_jm‖ from dLoss/ds_j = factor·<paramref name="gScale"/>, which the update carries on to the decoder.</summary>
    void Pull(ReadOnlySpan<float> gScale, double factor)
    {
        if (_parameters.Pull_LM is not { } pull_LM)
        {
            return;
        }

        for (int j = 0; j < gScale.Length; j++)
        {
            Span<float> norms = _crosscoder.Norms_LM.Row(j);
            double squares = 0;
            foreach (float norm in norms)
            {
                squares += (double)norm * norm;
            }

            for (int m = 0; m < norms.Length; m++)
            {
                pull_LM.Row(j)[m] = (float)(factor * gScale[j] * _parameters.CodeNorm.Slope(norms[m], squares));
            }
        }
    }

    /// <summary>A source of gradients. Its code gradients are summed when the latents are visited; at once where they are wanted before.</summary>
    LatentTerm Term(SparseCode code, Matrix grad_BE, float penalty)
    {
        if (_centred_BE is null)
        {
            return new LatentTerm(code, grad_BE, penalty);
        }

        _kernels.CodeGradient(code, grad_BE, _crosscoder.WDec_LE, _crosscoder.Scale_L, penalty);
        return new LatentTerm(code, grad_BE);
    }

    (double Norm, double Rate) Update(Matrix acts_BE, Span<LatentTerm> terms)
    {
        _kernels.ColumnSums(_grad_BE, _biasGrad_E);
        if (_centred_BE is not null)
        {
            _kernels.CentreGradient(terms, _crosscoder.WEnc_LE, _biasGrad_E);
        }

        double norm = double.NaN;
        if (_config.Clip is not null)
        {
            norm = Math.Sqrt(_kernels.GradientSquares(terms, acts_BE, _parameters, keep: true) + _kernels.SumOfSquares(_biasGrad_E) + ThresholdSquares());
            foreach (ref LatentTerm term in terms)
            {
                term = term with { Penalty = null };
            }
        }

        (AdamStep adam, double rate) = Adam(norm);
        _kernels.UpdateLatents(terms, acts_BE, _parameters, adam);
        _kernels.UpdateDense(_crosscoder.BDec_E, _biasGrad_E, _state.DecBiasM_E, _state.DecBiasV_E, adam);
        MoveThresholds(adam);
        return (norm, rate);
    }

    /// <summary>Adam's constants of this step; the clip factor is min(1, max/(norm + 1e-6)) as in torch.</summary>
    (AdamStep Adam, double Rate) Adam(double norm)
    {
        double rate = LearningRate.At(_config, _state.Step);
        double clip = _config.Clip is { } largest ? Math.Min(1, largest / (norm + 1e-6)) : 1;
        return (AdamStep.At(_state.Step + 1, rate, clip), rate);
    }

    float Penalty(Matrix acts_BE) => (float)(_config.Mu / acts_BE.Rows);

    (double L2, double Mse) Means(ResidualSums sums, int tokens)
    {
        double cells = (double)tokens * _crosscoder.Models;
        return (sums.NormSum / cells, sums.SquareSum / cells);
    }

    double Density(long pairs, int tokens) => (double)pairs / ((double)tokens * _crosscoder.Latents);

    void RequireFinite(double loss, Matrix acts_BE)
    {
        if (!double.IsFinite(loss))
        {
            throw NotFinite.Explain(loss, _state.Step, acts_BE, _crosscoder);
        }
    }

    Matrix New(int rows, int columns)
    {
        Matrix matrix = _crosscoder.Backend.Matrix(rows, columns);
        _owned.Add(matrix);
        return matrix;
    }
}
