using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;

namespace Diffract.Llms;

/// <summary>
/// Cosines and sines of the rotary positions, as the reference implementations take them: frequency θ^(-2i/H) and angle = position · frequency are rounded to float32,
/// then cosine and sine. Grows to the positions asked for.
/// </summary>
sealed class RotaryTable(IBackend backend, int headWidth, double theta) : IDisposable
{
    Matrix? _table;

    /// <summary>A table [at least positions, H]: cosines, then sines.</summary>
    public Matrix Upto(int positions)
    {
        if (_table is { } ready && ready.Rows >= positions)
        {
            return ready;
        }

        int rows = Math.Max(64, (int)System.Numerics.BitOperations.RoundUpToPowerOf2((uint)positions));
        int half = headWidth / 2;
        float[] values = new float[(long)rows * headWidth];
        for (int i = 0; i < half; i++)
        {
            float frequency = (float)(1 / Math.Pow(theta, 2.0 * i / headWidth));
            for (int p = 0; p < rows; p++)
            {
                double angle = p * frequency;
                values[(long)p * headWidth + i] = (float)Math.Cos(angle);
                values[(long)p * headWidth + half + i] = (float)Math.Sin(angle);
            }
        }

        Matrix table = backend.Matrix(rows, headWidth);
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
