using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Cpu.Matmul;
using Diffract.Cpu.Threads;

namespace Diffract.Cpu.Transformer;

/// <summary>The language model's set: checks shapes, calls the operations.</summary>
public sealed class CpuTransformerKernels(CpuPath path, WorkerPool pool) : ITransformerKernels, IDisposable
{
    readonly Attention _attention = new(path, pool);
    readonly WeightProduct _product = new(path, pool);
    readonly Mlp _mlp = new();

    public void Embed(ReadOnlySpan<int> ids, Matrix table_VD, float scale, Matrix out_TD)
    {
        TransformerShapes.Embed(ids, table_VD, out_TD);
        Embedding.Embed(pool, ids, table_VD, scale, out_TD);
    }

    public void RmsNorm(Matrix x_TD, Matrix weight_D, float offset, float epsilon, Matrix out_TD)
    {
        TransformerShapes.Norm(x_TD, weight_D, out_TD);
        Norm.Run(pool, x_TD, weight_D, offset, epsilon, out_TD, add: false);
    }

    public void AddRmsNorm(Matrix x_TD, Matrix weight_D, float offset, float epsilon, Matrix y_TD)
    {
        TransformerShapes.Norm(x_TD, weight_D, y_TD);
        Norm.Run(pool, x_TD, weight_D, offset, epsilon, y_TD, add: true);
    }

    public void LayerNorm(Matrix x_TD, Matrix weight_D, Matrix bias_D, float epsilon, Matrix out_TD)
    {
        TransformerShapes.LayerNorm(x_TD, weight_D, bias_D, out_TD);
        Transformer.LayerNorm.Run(pool, x_TD, weight_D, bias_D, epsilon, out_TD);
    }

    public void Add(Matrix x_TD, Matrix y_TD)
    {
        TransformerShapes.Same("add", x_TD, y_TD);
        Embedding.Add(pool, x_TD, y_TD);
    }

    public void AddBias(Matrix bias_N, Matrix y_TN)
    {
        TransformerShapes.Bias("add bias", bias_N, y_TN);
        Embedding.AddBias(pool, bias_N, y_TN);
    }

    public void Multiply(Matrix x_TD, Matrix y_TD)
    {
        TransformerShapes.Same("multiply", x_TD, y_TD);
        Embedding.Multiply(pool, x_TD, y_TD);
    }

    public void Activate(Matrix x_TD, Activation activation) => Activations.Run(pool, x_TD, activation);

    public void Copy(Matrix x_TD, Matrix y_TD)
    {
        TransformerShapes.Same("copy", x_TD, y_TD);
        Embedding.Copy(pool, x_TD, y_TD);
    }

    public void GatherRows(Matrix x_TD, ReadOnlySpan<int> rows, Matrix out_RD)
    {
        TransformerShapes.Gather(x_TD, rows, out_RD);
        Embedding.Gather(pool, x_TD, rows, out_RD);
    }

    public void MatMul(Matrix x_TK, Matrix weight_NK, Matrix out_TN)
    {
        TransformerShapes.MatMul(x_TK, weight_NK, out_TN);
        _product.Times(x_TK, weight_NK, out_TN);
    }

    public void Rope(Matrix x_TD, int headWidth, ReadOnlySpan<int> positions, Matrix cosSin_PR)
    {
        TransformerShapes.Rope(x_TD, headWidth, positions, cosSin_PR);
        Transformer.Rope.Run(pool, x_TD, headWidth, positions, cosSin_PR);
    }

    public void Attention(Matrix q_TD, Matrix k_SD, Matrix v_SD, ReadOnlySpan<SequenceSpan> sequences, in AttentionShape shape, Matrix out_TD)
    {
        TransformerShapes.Attention(q_TD, k_SD, v_SD, sequences, shape, out_TD);
        _attention.Run(q_TD, k_SD, v_SD, sequences, shape, out_TD);
    }

    public void GatedMlp(Matrix x_TD, Matrix gate_FD, Matrix up_FD, Matrix down_DF, Activation activation, Matrix out_TD)
    {
        TransformerShapes.GatedMlp(x_TD, gate_FD, up_FD, down_DF, out_TD);
        _mlp.Run(_product, x_TD, gate_FD, up_FD, down_DF, activation, out_TD);
    }

    public void SoftCap(Matrix x, float cap) => Transformer.LogitStatistics.SoftCap(pool, x, cap);

    public void LogitStatistics(Matrix logits_TV, ReadOnlySpan<int> targets, Span<double> logSumExp_T, Span<int> argmax_T, Span<double> nll_T)
    {
        TransformerShapes.Statistics(logits_TV, targets.Length, logSumExp_T.Length, argmax_T.Length, nll_T.Length);
        Transformer.LogitStatistics.Run(pool, logits_TV, targets, logSumExp_T, argmax_T, nll_T);
    }

    public void KlDivergence(Matrix p_TV, Matrix q_TV, Span<double> kl_T)
    {
        TransformerShapes.Kl(p_TV, q_TV, kl_T.Length);
        Transformer.LogitStatistics.Kl(pool, p_TV, q_TV, kl_T);
    }

    public void Dispose()
    {
        _attention.Dispose();
        _mlp.Dispose();
        _product.Dispose();
    }
}
