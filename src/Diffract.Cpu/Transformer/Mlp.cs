using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Cpu.Matmul;

namespace Diffract.Cpu.Transformer;

/// <summary>
/// out = (activation(x·gateᵀ) ∘ (x·upᵀ))·downᵀ. Gate and up are one product whose sums meet in the first-level cache. Of many rows a strip of the inner width is taken at a time, so that the
/// inner activations stay in the third-level cache; sums run in the order of their index all the same, as in <see cref="WeightProduct"/>.
/// </summary>
sealed unsafe class Mlp : IDisposable
{
    /// <summary>Inner activations at a time.</summary>
    const long StripFloats = 4 << 20;

    /// <summary>Strips are multiples of this many columns: whole panels on every path.</summary>
    const int StripStep = 144;

    HostBuffer _inner = new(ElementType.Float32, 16);

    public void Run(WeightProduct product, Matrix x_TD, Matrix gate_FD, Matrix up_FD, Matrix down_DF, Activation activation, Matrix out_TD)
    {
        int chunks = (x_TD.Rows + WeightProduct.ChunkRows - 1) / WeightProduct.ChunkRows;
        for (int chunk = 0; chunk < chunks; chunk++)
        {
            int row = (int)((long)x_TD.Rows * chunk / chunks), rows = (int)((long)x_TD.Rows * (chunk + 1) / chunks) - row;
            Rows(product, x_TD.SliceRows(row, rows), gate_FD, up_FD, down_DF, activation, out_TD.SliceRows(row, rows));
        }
    }

    public void Dispose() => _inner.Dispose();

    void Rows(WeightProduct product, Matrix x_TD, Matrix gate_FD, Matrix up_FD, Matrix down_DF, Activation activation, Matrix out_TD)
    {
        int width = gate_FD.Rows;
        int strips = (int)((long)x_TD.Rows * width / StripFloats + 1);
        int strip = Math.Min(width, ((width + strips - 1) / strips + StripStep - 1) / StripStep * StripStep);
        Matrix inner_TF = new(Scratch.Grow(ref _inner, (long)x_TD.Rows * strip), x_TD.Rows, strip, strip);
        for (int f = 0; f < width; f += strip)
        {
            int some = Math.Min(strip, width - f);
            Matrix part_TF = inner_TF.SliceColumns(0, some);
            product.Times(x_TD, gate_FD.SliceRows(f, some), up_FD.SliceRows(f, some), part_TF, null, null, &Gate, (int)activation);
            product.Times(part_TF, down_DF.SliceColumns(f, some), out_TD, more: f > 0);
        }
    }

    static void Gate(float* gate, float* up, int count, int activation) => Activations.Gate(gate, up, count, (Activation)activation);
}
