using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;

namespace Diffract.Llms;

/// <summary>One block of a language model, for every family: attention, then the MLP, each with its norms and biases, added to the residual stream.</summary>
sealed class LlmBlock : IDisposable
{
    readonly LlmConfig _config;
    readonly LlmWeights _weights;
    readonly LlmWorkspace _work;
    readonly ITransformerKernels _kernels;
    readonly RotaryTable? _rotary;
    readonly RotaryTable? _slidingRotary;

    public LlmBlock(LlmConfig config, LlmWeights weights, LlmWorkspace work, IBackend backend)
    {
        (_config, _weights, _work, _kernels) = (config, weights, work, backend.Transformer);
        _rotary = config.Rotary is { } full ? new RotaryTable(backend, full) : null;
        _slidingRotary = config.SlidingRotary is not { } sliding ? null : sliding == config.Rotary ? _rotary : new RotaryTable(backend, sliding);
    }

    /// <summary>
    /// In place on the residual stream x. Without a cache the sequences are whole. With one, spans name its rows: the keys and values of the new tokens go to the last rows of their sequence,
    /// which attention then reads whole.
    /// </summary>
    /// <param name="layer">Number of the block.</param>
    /// <param name="x_TD">[T, D], all sequences' new tokens.</param>
    /// <param name="positions">[T].</param>
    /// <param name="spans">The sequences.</param>
    /// <param name="positionCount">More than any position.</param>
    /// <param name="cache">Keys and values of earlier tokens, or null.</param>
    public void Run(int layer, Matrix x_TD, ReadOnlySpan<int> positions, ReadOnlySpan<SequenceSpan> spans, int positionCount, KeyValueCache? cache = null)
    {
        BlockWeights w = _weights.Blocks[layer];
        Matrix normed_TD = _work.Normed(x_TD.Rows), mixed_TD = _work.Mixed(x_TD.Rows);
        Matrix input_TD = Normed(x_TD, w.AttentionNorm, normed_TD);
        Attention(layer, w, input_TD, positions, spans, positionCount, cache, mixed_TD);
        if (_config.ParallelResidual)
        {
            // The MLP reads what the attention read, before the attention's output is there.
            input_TD = Normed(x_TD, w.MlpNorm, normed_TD);
            AddTo(x_TD, mixed_TD, w.PostAttentionNorm);
        }
        else
        {
            AddTo(x_TD, mixed_TD, w.PostAttentionNorm);
            input_TD = Normed(x_TD, w.MlpNorm, normed_TD);
        }

        Mlp(w, input_TD, mixed_TD);
        AddTo(x_TD, mixed_TD, w.PostMlpNorm);
    }

    /// <summary>The family's norm; in place when out is x. A weight [1, H] norms every H columns by themselves.</summary>
    public void Norm(Matrix x_TD, NormWeights norm, Matrix out_TD)
    {
        if (norm.Bias is { } bias)
        {
            _kernels.LayerNorm(x_TD, norm.Weight, bias, _config.NormEpsilon, out_TD);
        }
        else
        {
            _kernels.RmsNorm(x_TD, norm.Weight, _config.Traits.NormOffset, _config.NormEpsilon, out_TD);
        }
    }

    public void Dispose()
    {
        _rotary?.Dispose();
        _slidingRotary?.Dispose();
    }

    void Attention(
        int layer, BlockWeights w, Matrix input_TD, ReadOnlySpan<int> positions, ReadOnlySpan<SequenceSpan> spans, int positionCount, KeyValueCache? cache, Matrix out_TD)
    {
        int tokens = input_TD.Rows, head = _config.HeadWidth, window = _config.Windows[layer];
        int queries = _config.Heads * head, keys = _config.KeyValueHeads * head;
        Matrix projected_TN = _work.Projected(tokens), attended_TN = _work.Attended(tokens);
        Matrix q_TN = projected_TN.SliceColumns(0, queries), k_TN = projected_TN.SliceColumns(queries, keys), v_TN = projected_TN.SliceColumns(queries + keys, keys);
        Linear(input_TD, w.Query, q_TN);
        Linear(input_TD, w.Key, k_TN);
        Linear(input_TD, w.Value, v_TN);
        if (w.QueryNorm is { } queryNorm && w.KeyNorm is { } keyNorm)
        {
            Norm(q_TN, queryNorm, q_TN);
            Norm(k_TN, keyNorm, k_TN);
        }

        if ((window > 0 ? _slidingRotary : _rotary)?.Upto(positionCount) is { } cosSin_PR)
        {
            _kernels.Rope(q_TN, head, positions, cosSin_PR);
            _kernels.Rope(k_TN, head, positions, cosSin_PR);
        }

        float scale = _config.ScalesByLayer ? _config.AttentionScale / (layer + 1) : _config.AttentionScale;
        AttentionShape shape = new(_config.Heads, _config.KeyValueHeads, head, scale, window, _config.AttentionSoftCap);
        if (cache is not null)
        {
            Store(k_TN, spans, cache.Keys(layer));
            Store(v_TN, spans, cache.Values(layer));
            (k_TN, v_TN) = (cache.Keys(layer), cache.Values(layer));
        }

        _kernels.Attention(q_TN, k_TN, v_TN, spans, shape, attended_TN);
        Linear(attended_TN, w.Output, out_TD);
    }

    void Store(Matrix new_TN, ReadOnlySpan<SequenceSpan> spans, Matrix cache_SN)
    {
        foreach (SequenceSpan s in spans)
        {
            _kernels.Copy(new_TN.SliceRows(s.QueryRow, s.Length), cache_SN.SliceRows(s.KeyRow + s.KeyLength - s.Length, s.Length));
        }
    }

    void Mlp(BlockWeights w, Matrix input_TD, Matrix out_TD)
    {
        if (_config.MlpIsOneOperation)
        {
            _kernels.GatedMlp(input_TD, w.Gate!.Value.Weight, w.Up.Weight, w.Down.Weight, _config.Activation, out_TD);
            return;
        }

        Matrix inner_TF = _work.Inner(input_TD.Rows);
        Linear(input_TD, w.Up, inner_TF);
        if (w.Gate is { } gate)
        {
            Matrix gated_TF = _work.Gated(input_TD.Rows);
            Linear(input_TD, gate, gated_TF);
            _kernels.Activate(gated_TF, _config.Activation);
            _kernels.Multiply(gated_TF, inner_TF);
        }
        else
        {
            _kernels.Activate(inner_TF, _config.Activation);
        }

        Linear(inner_TF, w.Down, out_TD);
    }

    void Linear(Matrix x_TK, LinearWeights linear, Matrix out_TN)
    {
        _kernels.MatMul(x_TK, linear.Weight, out_TN);
        if (linear.Bias is { } bias)
        {
            _kernels.AddBias(bias, out_TN);
        }
    }

    Matrix Normed(Matrix x_TD, NormWeights? norm, Matrix normed_TD)
    {
        if (norm is not { } weights)
        {
            return x_TD;
        }

        Norm(x_TD, weights, normed_TD);
        return normed_TD;
    }

    void AddTo(Matrix x_TD, Matrix sublayer_TD, NormWeights? norm)
    {
        if (norm is { } weights)
        {
            _kernels.AddRmsNorm(sublayer_TD, weights.Weight, _config.Traits.NormOffset, _config.NormEpsilon, x_TD);
        }
        else
        {
            _kernels.Add(sublayer_TD, x_TD);
        }
    }
}
