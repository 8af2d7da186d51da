using System.Globalization;
using Diffract.Formats;
using Diffract.Runs;

namespace Diffract.Activations;

/// <summary>A store's moments on disk: mean and unbiased variance of each column by model, in double.</summary>
static class StatisticsFile
{
    /// <param name="folder">Of the store.</param>
    /// <param name="moments">Over all rows, before rounding.</param>
    /// <param name="widths">Width of each model.</param>
    public static FileSeal Save(string folder, RunningMoments moments, int[] widths)
    {
        SafetensorsWriter writer = new();
        writer.Metadata["count"] = moments.Count.ToString(CultureInfo.InvariantCulture);
        int at = 0;
        for (int m = 0; m < widths.Length; m++)
        {
            writer.Add($"model.{m}.mean", moments.Mean.AsMemory(at, widths[m]), widths[m]);
            writer.Add($"model.{m}.variance", Array.ConvertAll(moments.Squares[at..(at + widths[m])], s => s / (moments.Count - 1)), widths[m]);
            at += widths[m];
        }

        return writer.Save(Path.Combine(folder, ActivationStore.StatisticsFile));
    }
}
