using System.Globalization;
using Diffract.Evidence;

namespace Diffract.Reports;

/// <summary>How numbers are written in sentences: the same everywhere, in the invariant culture.</summary>
static class ReportNumbers
{
    public const string Unknown = "not known";

    public static string Count(long n) => n.ToString("N0", CultureInfo.InvariantCulture);

    public static string Number(double x, int digits = 2)
        => double.IsFinite(x) ? Signed(x.ToString("F" + digits.ToString(CultureInfo.InvariantCulture), CultureInfo.InvariantCulture)) : Unknown;

    /// <summary>A true minus, and none before what rounds to zero.</summary>
    static string Signed(string text) => text.AsSpan().ContainsAnyInRange('1', '9') ? text.Replace('-', '−') : text.TrimStart('-');

    public static string Percent(double share)
    {
        if (!double.IsFinite(share))
        {
            return Unknown;
        }

        double percent = share * 100;
        string format = Math.Abs(percent) is > 0 and < 9.95 ? "F1" : "F0";
        return Signed(percent.ToString(format, CultureInfo.InvariantCulture)) + "%";
    }

    /// <summary>"3.50 (3.40 to 3.60)".</summary>
    public static string WithInterval(Estimate e, int digits = 2)
        => double.IsFinite(e.Low) && double.IsFinite(e.High) ? $"{Number(e.Value, digits)} ({Number(e.Low, digits)} to {Number(e.High, digits)})" : Number(e.Value, digits);

    /// <summary>"11% (9.1% to 13%)".</summary>
    public static string PercentWithInterval(Estimate e)
        => double.IsFinite(e.Low) && double.IsFinite(e.High) ? $"{Percent(e.Value)} ({Percent(e.Low)} to {Percent(e.High)})" : Percent(e.Value);

    /// <summary>"1 latent", "2 latents".</summary>
    public static string Counted(long n, string noun) => n == 1 ? $"1 {noun}" : $"{Count(n)} {noun}s";

    /// <summary>"a", "a and b", "a, b and c".</summary>
    public static string List(IReadOnlyList<string> items)
        => items.Count switch
        {
            0 => "",
            1 => items[0],
            _ => string.Join(", ", items.Take(items.Count - 1)) + " and " + items[^1],
        };
}
