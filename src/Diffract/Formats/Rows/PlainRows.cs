using System.Text;
using Diffract.Runs;

namespace Diffract.Formats.Rows;

/// <summary>Plain text as rows with the one column <c>text</c>; blank lines are between rows, not rows.</summary>
static class PlainRows
{
    static readonly string[] Columns = ["text"];

    /// <exception cref="DiffractException">A row is too long, or not UTF-8.</exception>
    public static IEnumerable<DataRow> Read(string file, TextUnit unit)
    {
        StringBuilder gathered = new();
        int first = 0;
        foreach ((ReadOnlyMemory<byte> bytes, int line) in ByteLines.Read(file))
        {
            string text = Encoding.UTF8.GetString(bytes.Span);
            bool blank = string.IsNullOrWhiteSpace(text);
            if (unit == TextUnit.Line)
            {
                if (!blank)
                {
                    yield return Row(file, line, text);
                }

                continue;
            }

            if (unit == TextUnit.Paragraph && blank)
            {
                if (gathered.Length > 0)
                {
                    yield return Row(file, first, gathered.ToString());
                    gathered.Clear();
                }

                continue;
            }

            first = gathered.Length == 0 ? line : first;
            _ = gathered.Append(gathered.Length == 0 ? "" : "\n").Append(text);
            if (gathered.Length > RowFile.MostRowBytes)
            {
                throw RowFile.TooLong(file, "line", first);
            }
        }

        if (gathered.Length > 0)
        {
            yield return Row(file, first, gathered.ToString());
        }
    }

    static DataRow Row(string file, int line, string text) => new(file, line, new Dictionary<string, object?> { ["text"] = text }) { Columns = Columns };
}
