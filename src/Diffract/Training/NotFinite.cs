using Diffract.Compute.Buffers;
using Diffract.Crosscoders;
using Diffract.Runs;

namespace Diffract.Training;

/// <summary>Says where a loss stopped being a number.</summary>
static class NotFinite
{
    public static DiffractException Explain(double loss, long step, Matrix acts_BE, Crosscoder crosscoder)
    {
        if (FirstIn(acts_BE) is { } at)
        {
            int model = Array.FindLastIndex(crosscoder.ModelOffsets, o => o <= at.Column);
            return new DiffractException(
                $"step {step}: the activations hold {Text(acts_BE.Row(at.Row)[at.Column])} at token {at.Row} of the batch, model {model}, column {at.Column - crosscoder.ModelOffsets[model]}; harvest them again, or check the file");
        }

        foreach ((string name, Matrix weights) in ((string, Matrix)[])[
            ("encoder.weight", crosscoder.WEnc_LE), ("encoder.bias", crosscoder.BEnc_L), ("decoder.weight", crosscoder.WDec_LE), ("decoder.bias", crosscoder.BDec_E)])
        {
            if (FirstIn(weights) is { } found)
            {
                return new DiffractException($"step {step}: the loss is {Text(loss)} because {name} holds {Text(weights.Row(found.Row)[found.Column])}; lower --lr or begin from other weights");
            }
        }

        return new DiffractException($"step {step}: the loss is {Text(loss)} although activations and weights are finite; lower --lr");
    }

    static string Text(double value) => double.IsNaN(value) ? "NaN" : value > 0 ? "infinity" : "-infinity";

    /// <summary>The first element that is no finite number.</summary>
    public static (int Row, int Column)? FirstIn(Matrix matrix)
    {
        for (int r = 0; r < matrix.Rows; r++)
        {
            Span<float> row = matrix.Row(r);
            for (int c = 0; c < row.Length; c++)
            {
                if (!float.IsFinite(row[c]))
                {
                    return (r, c);
                }
            }
        }

        return null;
    }
}
