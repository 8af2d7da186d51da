using System.Numerics;
using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;

namespace Diffract.Llms;

/// <summary>
/// Cosines and sines of the rotary positions, as the reference implementations take them: the angle, position · frequency, is rounded to float32, then cosine and sine, then their products with the attention factor.
/// Grows to the positions asked for.
/// </summary>
sealed class RotaryTable(IBackend backend, Rotary rotary) : IDisposable
{
    Matrix? _table;

    /// <summary>A table [at least positions, R]: cosines, then sines.</summary>
    public Matrix Upto(int positions)
    {
        if (_table is { } ready && ready.Rows >= positions)
        {
            return ready;
        }

        int rows = Math.Max(64, (int)BitOperations.RoundUpToPowerOf2((uint)positions));
        float[] frequencies = rotary.Frequencies();
        int width = rotary.Width, half = frequencies.Length;
        float factor = (float)(rotary.Scaling?.AttentionFactor ?? 1);
        float[] values = new float[(long)rows * width];
        for (int i = 0; i < half; i++)
        {
            for (int p = 0; p < rows; p++)
            {
                double angle = p * frequencies[i];
                values[(long)p * width + i] = (float)Math.Cos(angle) * factor;
                values[(long)p * width + half + i] = (float)Math.Sin(angle) * factor;
            }
        }

        Matrix table = backend.Matrix(rows, width);
        backend.Upload(values, table);
        Dispose();
        _table = table;
        return table;
    }

    public void Dispose()
    {
        _table?.Buffer.Dispose();
        _table = null;
    }
}
