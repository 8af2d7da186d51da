using System.Numerics;

namespace Diffract.Latents;

/// <summary>Finds values that are not finite.</summary>
public static class FiniteRows
{
    /// <summary>Column of the first NaN or infinity of a row, or null.</summary>
    public static int? FirstBad(ReadOnlySpan<float> row_E)
    {
        // x - x is 0 for every finite x and NaN otherwise, so one sum tells about the whole row.
        Vector<float> sum = Vector<float>.Zero;
        int e = 0;
        for (; e <= row_E.Length - Vector<float>.Count; e += Vector<float>.Count)
        {
            Vector<float> x = new(row_E[e..]);
            sum += x - x;
        }

        float tail = Vector.Sum(sum);
        for (; e < row_E.Length; e++)
        {
            tail += row_E[e] - row_E[e];
        }

        if (tail == 0)
        {
            return null;
        }

        for (e = 0; float.IsFinite(row_E[e]); e++)
        {
        }

        return e;
    }

    /// <summary>The model that column <paramref name="column"/> of E belongs to.</summary>
    public static int Model(ReadOnlySpan<int> modelOffsets, int column)
    {
        int model = 0;
        while (modelOffsets[model + 1] <= column)
        {
            model++;
        }

        return model;
    }
}
