using System.Globalization;
using System.Text;

namespace Diffract.Formats.Jinja;

/// <summary><c>strftime</c> with English names.</summary>
static class TimeText
{
    public static string Format(string format, DateTime now)
    {
        StringBuilder made = new();
        for (int i = 0; i < format.Length; i++)
        {
            if (format[i] != '%' || i + 1 == format.Length)
            {
                made.Append(format[i]);
                continue;
            }

            bool bare = format[++i] == '-' && i + 1 < format.Length;
            char code = format[bare ? ++i : i];
            string text = Field(code, now) ?? throw JinjaException.Unsupported($"%{(bare ? "-" : "")}{code} of strftime");
            made.Append(bare && text.Length > 1 ? text.TrimStart('0', ' ') is { Length: > 0 } kept ? kept : "0" : text);
        }

        return made.ToString();
    }

    static string? Field(char code, DateTime now) => code switch
    {
        'Y' => Text(now, "yyyy"),
        'y' => Text(now, "yy"),
        'm' => Text(now, "MM"),
        'd' => Text(now, "dd"),
        'e' => now.Day.ToString(CultureInfo.InvariantCulture).PadLeft(2),
        'H' => Text(now, "HH"),
        'I' => Text(now, "hh"),
        'M' => Text(now, "mm"),
        'S' => Text(now, "ss"),
        'f' => Text(now, "ffffff"),
        'b' or 'h' => Text(now, "MMM"),
        'B' => Text(now, "MMMM"),
        'a' => Text(now, "ddd"),
        'A' => Text(now, "dddd"),
        'p' => Text(now, "tt"),
        'j' => now.DayOfYear.ToString("000", CultureInfo.InvariantCulture),
        'u' => (((int)now.DayOfWeek + 6) % 7 + 1).ToString(CultureInfo.InvariantCulture),
        'w' => ((int)now.DayOfWeek).ToString(CultureInfo.InvariantCulture),
        'F' => Text(now, "yyyy-MM-dd"),
        'T' => Text(now, "HH:mm:ss"),
        'R' => Text(now, "HH:mm"),
        'D' or 'x' => Text(now, "MM/dd/yy"),
        'X' => Text(now, "HH:mm:ss"),
        'n' => "\n",
        't' => "\t",
        '%' => "%",
        'Z' or 'z' => "",
        _ => null,
    };

    static string Text(DateTime now, string pattern) => now.ToString(pattern, CultureInfo.InvariantCulture);
}
