using System.Globalization;

namespace Diffract.Formats.Rows;

/// <summary>A number of a row, as it is written.</summary>
public readonly record struct RowNumber(string Text)
{
    public static RowNumber Of(long value) => new(value.ToString(CultureInfo.InvariantCulture));

    public static RowNumber Of(double value) => new(value.ToString("R", CultureInfo.InvariantCulture));

    public override string ToString() => Text;
}
