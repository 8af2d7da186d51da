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
    public static FileSeal Save(string folder, RunningMoments moments, int[] widths) => Save(folder, moments.Count, moments.Mean, moments.Variance(), widths);

    /// <summary>The same, of moments that somebody else counted.</summary>
    public static FileSeal Save(string folder, long count, double[] mean_E, double[] variance_E, int[] widths)
    {
        SafetensorsWriter writer = new();
        writer.Metadata["count"] = count.ToString(CultureInfo.InvariantCulture);
        int at = 0;
        for (int m = 0; m < widths.Length; m++)
        {
            writer.Add($"model.{m}.mean", mean_E.AsMemory(at, widths[m]), widths[m]);
            writer.Add($"model.{m}.variance", variance_E.AsMemory(at, widths[m]), widths[m]);
            at += widths[m];
        }

        return writer.Save(Path.Combine(folder, ActivationStore.StatisticsFile));
    }
}
