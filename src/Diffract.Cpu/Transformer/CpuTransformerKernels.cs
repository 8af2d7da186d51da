using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Cpu.Matmul;
using Diffract.Cpu.Threads;

namespace Diffract.Cpu.Transformer;

#pragma warning disable CS9113 // the operations below will use them
public sealed class CpuTransformerKernels(CpuPath path, WorkerPool pool, MatrixProduct product) : ITransformerKernels
{
    public void Embed(ReadOnlySpan<int> ids, Matrix table_VD, float scale, Matrix out_TD)
        => throw new NotSupportedException();

    public void RmsNorm(Matrix x_TD, Matrix weight_D, float offset, float epsilon, Matrix out_TD)
        => throw new NotSupportedException();

    public void AddRmsNorm(Matrix x_TD, Matrix weight_D, float offset, float epsilon, Matrix y_TD)
        => throw new NotSupportedException();

    public void Add(Matrix x_TD, Matrix y_TD)
        => throw new NotSupportedException();

    public void Copy(Matrix x_TD, Matrix y_TD)
        => throw new NotSupportedException();

    public void GatherRows(Matrix x_TD, ReadOnlySpan<int> rows, Matrix out_RD)
        => throw new NotSupportedException();

    public void MatMul(Matrix x_TK, Matrix weight_NK, Matrix out_TN)
        => throw new NotSupportedException();

    public void Rope(Matrix x_TD, int headWidth, ReadOnlySpan<int> positions, Matrix cosSin_PH)
        => throw new NotSupportedException();

    public void Attention(Matrix q_TD, Matrix k_SD, Matrix v_SD, ReadOnlySpan<SequenceSpan> sequences, in AttentionShape shape, Matrix out_TD)
        => throw new NotSupportedException();

    public void GatedMlp(Matrix x_TD, Matrix gate_FD, Matrix up_FD, Matrix down_DF, Activation activation, Matrix out_TD)
        => throw new NotSupportedException();

    public void SoftCap(Matrix x, float cap)
        => throw new NotSupportedException();

    public void LogitStatistics(Matrix logits_TV, ReadOnlySpan<int> targets, Span<double> logSumExp_T, Span<int> argmax_T, Span<double> nll_T)
        => throw new NotSupportedException();

    public void KlDivergence(Matrix p_TV, Matrix q_TV, Span<double> kl_T)
        => throw new NotSupportedException();
}
