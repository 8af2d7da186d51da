using System.Globalization;
using Diffract.Runs;

namespace Diffract.Latents;

/// <summary>Numbers in CSV files as pandas writes them: shortest round-trip form, empty for NaN.</summary>
public static class CsvNumbers
{
    public static string Write(double value) => double.IsNaN(value) ? "" : value.ToString("R", CultureInfo.InvariantCulture);

    public static double Read(string text, string path, int line)
    {
        if (text.Length == 0)
        {
            return double.NaN;
        }

        return double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out double value)
            ? value
            : throw new DiffractException($"{path} line {line} has '{text}', wanted a number: changed or damaged; make it again with --fresh");
    }
}
