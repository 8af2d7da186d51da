using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;

namespace Diffract.Compute.Checks;

/// <summary>One check for each operation of <see cref="ITransformerKernels"/>, weights in bfloat16 where it takes them.</summary>
static class TransformerChecks
{
    const int T = CheckInputs.Tokens;
    const int D = 60;

    public static IEnumerable<OpCheck> All =>
    [
        Op(nameof(ITransformerKernels.Embed), Tolerance.Elementwise, T, D, (k, x, y) => k.Embed([.. Enumerable.Range(0, T).Select(i => i * 7 % 50)], Weights(x, 50, D), 7.7f, y)),
        Op(nameof(ITransformerKernels.RmsNorm), Tolerance.Elementwise, T, D, (k, x, y) => k.RmsNorm(x.Fill(T, D), x.Fill(1, D), 1, 1e-6f, y)),
        Op(nameof(ITransformerKernels.AddRmsNorm), Tolerance.Elementwise, T, D, (k, x, y) => k.AddRmsNorm(x.Fill(T, D), x.Fill(1, D), 0, 1e-5f, y)),
        Op(nameof(ITransformerKernels.LayerNorm), Tolerance.Elementwise, T, D, (k, x, y) => k.LayerNorm(x.Fill(T, D), x.Fill(1, D), x.Fill(1, D), 1e-5f, y)),
        Op(nameof(ITransformerKernels.AddBias), 0, T, D, (k, x, y) => k.AddBias(x.Fill(1, D), y)),
        Op(nameof(ITransformerKernels.Multiply), 0, T, D, (k, x, y) =>
        {
            k.Copy(x.Fill(T, D), y);
            k.Multiply(x.Fill(T, D), y);
        }),
        Op(nameof(ITransformerKernels.Activate), Tolerance.Elementwise, T, D, (k, x, y) =>
        {
            k.Copy(x.Fill(T, D, 6), y);
            k.Activate(y, Activation.Gelu);
        }),
        Op(nameof(ITransformerKernels.Add), 0, T, D, (k, x, y) => k.Add(x.Fill(T, D), y)),
        Op(nameof(ITransformerKernels.Copy), 0, T, D, (k, x, y) => k.Copy(x.Fill(T, D), y)),
        Op(nameof(ITransformerKernels.GatherRows), 0, 5, D, (k, x, y) => k.GatherRows(x.Fill(T, D), [40, 0, 5, 5, 33], y)),
        Op(nameof(ITransformerKernels.MatMul), Tolerance.MatMul, T, 29, (k, x, y) => k.MatMul(x.Fill(T, D), Weights(x, 29, D), y)),
        Op(nameof(ITransformerKernels.Rope), Tolerance.Elementwise, T, D, (k, x, y) =>
        {
            k.Copy(x.Fill(T, D), y);
            k.Rope(y, 20, [.. Enumerable.Range(0, T).Select(i => i * 13 % 90)], x.Fill(90, 20));
        }),
        Op(nameof(ITransformerKernels.Attention), Tolerance.Attention, T, 80, (k, x, y) =>
            k.Attention(x.Fill(T, 80), x.Fill(60, 40), x.Fill(60, 40), [new(0, 30, 0, 30), new(30, 11, 30, 30)], new AttentionShape(4, 2, 20, 0.2f, 16, 50), y)),
        Op(nameof(ITransformerKernels.GatedMlp), Tolerance.MatMul, T, D, (k, x, y) =>
            k.GatedMlp(x.Fill(T, D), Weights(x, 130, D), Weights(x, 130, D), Weights(x, D, 130), Activation.GeluTanh, y)),
        Op(nameof(ITransformerKernels.SoftCap), Tolerance.Elementwise, T, D, (k, x, y) =>
        {
            k.Copy(x.Fill(T, D, 60), y);
            k.SoftCap(y, 30);
        }),
        new("transformer", nameof(ITransformerKernels.LogitStatistics), Tolerance.Elementwise, backend =>
        {
            double[] logSumExp = new double[T], nll = new double[T];
            int[] argmax = new int[T];
            backend.Transformer.LogitStatistics(new CheckInputs().Fill(T, 300, 10), [.. Enumerable.Range(0, T)], logSumExp, argmax, nll);
            return [logSumExp, nll, [.. argmax.Select(a => (double)a)]];
        }),
        new("transformer", nameof(ITransformerKernels.KlDivergence), Tolerance.Elementwise, backend =>
        {
            CheckInputs x = new();
            double[] kl = new double[T];
            backend.Transformer.KlDivergence(x.Fill(T, 300, 5), x.Fill(T, 300, 5), kl);
            return [kl];
        }),
    ];

    static Matrix Weights(CheckInputs x, int rows, int columns)
    {
        Matrix wide = x.Fill(rows, columns), narrow = Matrix.Host(rows, columns, ElementType.BFloat16);
        BFloat16.Round(((HostBuffer)wide.Buffer).Span<float>(), ((HostBuffer)narrow.Buffer).Span<ushort>());
        return narrow;
    }

    static OpCheck Op(string name, double allowed, int rows, int columns, Action<ITransformerKernels, CheckInputs, Matrix> compute)
        => new("transformer", name, allowed, backend =>
        {
            Matrix result = Matrix.Host(rows, columns);
            compute(backend.Transformer, new CheckInputs(), result);
            return [CheckInputs.Values(result)];
        });
}
