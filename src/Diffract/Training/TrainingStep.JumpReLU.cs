using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Crosscoders;

namespace Diffract.Training;

/// <summary>The step of JumpReLU (docs/method.md): a threshold for each latent, moved by the straight-through gradient of the gate.</summary>
public sealed partial class TrainingStep
{
    /// <summary>
    /// Before the first step: the unit in which bandwidth, bend and threshold rate are given, which is the scaled activation of each of k equal and orthogonal latents that make up an activation,
    /// M·(mean length about the decoder bias)/√k. Where no thresholds were loaded, encoder biases that count from the decoder bias and thresholds with which k latents per token of this batch are active.
    /// </summary>
    public void Begin(Matrix acts_BE)
    {
        if (_crosscoder.Threshold_L is not { } threshold_L)
        {
            return;
        }

        Crosscoder c = _crosscoder;
        for (int b = 0; b < acts_BE.Rows; b++)
        {
            c.BDec_E.Row(0).CopyTo(_recon_BE.Row(b));
        }

        double length = Means(_kernels.Residual(acts_BE, _recon_BE, c.ModelOffsets, false, null, null), acts_BE.Rows).L2;
        RequireFinite(length, acts_BE);
        _state.Unit = length > 0 ? (float)(length * c.Models / Math.Sqrt(c.Config.K)) : 1;
        if (threshold_L.Row(0).ContainsAnyExcept(0))
        {
            return;
        }

        for (int j = 0; j < c.Latents; j++)
        {
            double offset = 0;
            for (int e = 0; e < c.E; e++)
            {
                offset += (double)c.WEnc_LE.Row(j)[e] * c.BDec_E.Row(0)[e];
            }

            c.BEnc_L.Row(0)[j] -= (float)offset;
        }

        _kernels.EncodeSelect(acts_BE, c.WEnc_LE, c.BEnc_L, c.Scale_L, Selection.BatchTopK(c.Config.K * acts_BE.Rows), _code);
        threshold_L.Row(0).Fill(MathF.BitDecrement(Math.Max(_code.SmallestScaled, float.Epsilon)));
    }

    StepRecord JumpReLU(Matrix acts_BE)
    {
        Crosscoder c = _crosscoder;
        (Matrix floor_L, Matrix gThreshold_L, Matrix gScale_L) = _jump!.Value;
        Matrix threshold_L = c.Threshold_L!.Value;
        JumpShape shape = new(_config.Bandwidth * _state.Unit, _config.Bend * _state.Unit, _config.Mu / acts_BE.Rows);
        Lower(threshold_L, (float)(shape.Bandwidth / 2), floor_L);
        _kernels.EncodeSelect(acts_BE, c.WEnc_LE, c.BEnc_L, c.Scale_L, Selection.AboveEach(floor_L), _code);
        _kernels.JumpGate(_code, c.Scale_L, threshold_L);
        _kernels.Decode(_code, c.WDec_LE, c.BDec_E, _recon_BE);
        _kernels.CodeSums(_code, _sum_L);
        _state.Firing.Observe(acts_BE.Rows, _sum_L);
        bool anyDead = AnyDead();
        ResidualSums sums = _kernels.Residual(acts_BE, _recon_BE, c.ModelOffsets, _config.Loss == LossKind.Mse, anyDead ? _aux!.Value.Residual_BE : null, _grad_BE);
        double aux = anyDead ? Auxiliary(acts_BE) : 0;
        _kernels.CodeGradient(_code, _grad_BE, c.WDec_LE, c.Scale_L, 0);
        JumpSums gate = _kernels.JumpGradient(_code, c.Scale_L, threshold_L, shape, gThreshold_L, gScale_L);
        (double l2, double mse) = Means(sums, acts_BE.Rows);
        double sparsity = gate.Penalty / acts_BE.Rows;
        double loss = (_config.Loss == LossKind.Mse ? mse : l2) + _config.Mu * sparsity + _config.AuxAlpha * aux;
        RequireFinite(loss, acts_BE);
        Pull(gScale_L.Row(0), 1);
        _terms[0] = new LatentTerm(_code, _grad_BE);
        (double norm, double rate) = Update(acts_BE, _terms.AsSpan(0, anyDead ? 2 : 1));
        _state.Density = Density(gate.Active, acts_BE.Rows);
        return new StepRecord(
            _state.Step, loss, l2, mse, sparsity, aux, Mean(threshold_L.Row(0)), _state.Firing.Dead.Length, double.NaN, norm, rate, (double)gate.Active / acts_BE.Rows);
    }

    /// <summary>The lower ends of the kernels, from 0: below them a pair neither fires nor moves anything.</summary>
    static void Lower(Matrix threshold_L, float half, Matrix floor_L)
    {
        Span<float> threshold = threshold_L.Row(0);
        Span<float> floor = floor_L.Row(0);
        for (int j = 0; j < floor.Length; j++)
        {
            floor[j] = Math.Max(0, threshold[j] - half);
        }
    }

    /// <summary>Their share of the clip norm, by virtual shard as every sum over latents.</summary>
    double ThresholdSquares()
    {
        if (_jump is not { } jump)
        {
            return 0;
        }

        Span<float> gThreshold = jump.GThreshold_L.Row(0);
        int shard = _code.ShardSize;
        Span<double> sums = stackalloc double[(gThreshold.Length + shard - 1) / shard];
        sums.Clear();
        for (int j = 0; j < gThreshold.Length; j++)
        {
            sums[j / shard] += (double)gThreshold[j] * gThreshold[j];
        }

        return VirtualShards.Add(sums);
    }

    /// <summary>Adam on the thresholds, stored as they are and with a rate in the unit (as logarithms they would hardly move); never below 0.</summary>
    void MoveThresholds(in AdamStep adam)
    {
        if (_jump is not { } jump)
        {
            return;
        }

        Matrix threshold_L = _crosscoder.Threshold_L!.Value;
        AdamStep scaled = adam with { LearningRate = adam.LearningRate * _state.Unit };
        _kernels.UpdateDense(threshold_L, jump.GThreshold_L, _state.ThresholdM_L!.Value, _state.ThresholdV_L!.Value, scaled);
        foreach (ref float threshold in threshold_L.Row(0))
        {
            threshold = Math.Max(0, threshold);
        }
    }

    static double Mean(ReadOnlySpan<float> values)
    {
        double sum = 0;
        foreach (float value in values)
        {
            sum += value;
        }

        return sum / values.Length;
    }
}
