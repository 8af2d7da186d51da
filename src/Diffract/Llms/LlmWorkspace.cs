using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;

namespace Diffract.Llms;

/// <summary>What a forward pass needs between its operations, for a number of tokens that only grows.</summary>
sealed class LlmWorkspace(IBackend backend, LlmConfig config) : IDisposable
{
    readonly int _queries = config.Heads * config.HeadWidth;
    readonly int _keys = config.KeyValueHeads * config.HeadWidth;
    Matrix _normed_TD;
    Matrix _mixed_TD;
    Matrix _projected_TN;
    Matrix _attended_TN;
    Matrix _resid_TD;
    Matrix _last_RD;
    Matrix _final_RD;
    Matrix _inner_TF;
    Matrix _gated_TF;

    /// <summary>[T, D]: a norm's output.</summary>
    public Matrix Normed(int tokens) => Grown(ref _normed_TD, tokens, config.Width);

    /// <summary>[T, D]: a sublayer's output.</summary>
    public Matrix Mixed(int tokens) => Grown(ref _mixed_TD, tokens, config.Width);

    /// <summary>[T, heads·H + 2·key-value heads·H]: queries, keys and values side by side.</summary>
    public Matrix Projected(int tokens) => Grown(ref _projected_TN, tokens, _queries + 2 * _keys);

    /// <summary>[T, heads·H]: what the heads bring back.</summary>
    public Matrix Attended(int tokens) => Grown(ref _attended_TN, tokens, _queries);

    /// <summary>[T, D]: a residual stream that may be overwritten.</summary>
    public Matrix Resid(int tokens) => Grown(ref _resid_TD, tokens, config.Width);

    /// <summary>[R, D]: rows of the last block's output.</summary>
    public Matrix Last(int rows) => Grown(ref _last_RD, rows, config.Width);

    /// <summary>[R, D]: the rows that go into the head.</summary>
    public Matrix Final(int rows) => Grown(ref _final_RD, rows, config.Width);

    /// <summary>[T, F]: inside an MLP that is not one operation.</summary>
    public Matrix Inner(int tokens) => Grown(ref _inner_TF, tokens, config.MlpWidth);

    /// <summary>[T, F]: its gate.</summary>
    public Matrix Gated(int tokens) => Grown(ref _gated_TF, tokens, config.MlpWidth);

    public void Dispose()
    {
        foreach (Matrix m in (ReadOnlySpan<Matrix>)[_normed_TD, _mixed_TD, _projected_TN, _attended_TN, _resid_TD, _last_RD, _final_RD, _inner_TF, _gated_TF])
        {
            m.Buffer?.Dispose();
        }
    }

    Matrix Grown(ref Matrix matrix, int rows, int columns)
    {
        if (matrix.Rows < rows || matrix.Buffer is null)
        {
            matrix.Buffer?.Dispose();
            matrix = default;
            matrix = backend.Matrix(Math.Max(rows, 1), columns);
        }

        return matrix.SliceRows(0, rows);
    }
}
