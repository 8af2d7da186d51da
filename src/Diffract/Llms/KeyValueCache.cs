using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;

namespace Diffract.Llms;

/// <summary>Keys and values of sequences that lie one after the other, block by block, so that a new token costs one row.</summary>
sealed class KeyValueCache : IDisposable
{
    readonly Matrix[] _keys_SN;
    readonly Matrix[] _values_SN;

    public KeyValueCache(IBackend backend, LlmConfig config, int capacity)
    {
        Capacity = capacity;
        int width = config.KeyValueHeads * config.HeadWidth;
        _keys_SN = [.. Enumerable.Range(0, config.Layers).Select(_ => backend.Matrix(capacity, width))];
        _values_SN = [.. Enumerable.Range(0, config.Layers).Select(_ => backend.Matrix(capacity, width))];
    }

    /// <summary>Tokens of all sequences that fit.</summary>
    public int Capacity { get; }

    /// <summary>[capacity, key-value heads·H].</summary>
    public Matrix Keys(int layer) => _keys_SN[layer];

    /// <summary>[capacity, key-value heads·H].</summary>
    public Matrix Values(int layer) => _values_SN[layer];

    public void Dispose()
    {
        foreach (Matrix m in _keys_SN.Concat(_values_SN))
        {
            m.Buffer.Dispose();
        }
    }
}
