using System.Text;
using CsvHelper;
using Diffract.Runs;

namespace Diffract.Formats.Rows;

/// <summary>Comma-separated values with a header as rows; every value is a string.</summary>
static class CsvRows
{
    /// <exception cref="DiffractException">A row is malformed, too long, or not UTF-8, or has another number of fields than the header.</exception>
    public static IEnumerable<DataRow> Read(string file, char separator, RowSelection selection)
    {
        using UnpackedStream stream = new(file);
        using CsvReader reader = Open(stream, separator, file);
        if (!Next(reader, file) || reader.Headers is not { Count: > 0 } headers)
        {
            yield break;
        }

        string[] columns = [.. headers];
        string[] wanted = [.. selection.Of(columns)];
        int[] places = Array.ConvertAll(wanted, w => Array.IndexOf(columns, w));
        do
        {
            Dictionary<string, object?> fields = [];
            for (int i = 0; i < wanted.Length; i++)
            {
                fields[wanted[i]] = Field(reader, places[i], file);
            }

            yield return new DataRow(file, Line(reader), fields) { Columns = columns };
        }
        while (Next(reader, file));
    }

    static CsvReader Open(Stream stream, char separator, string file)
    {
        try
        {
            return CsvReader.Create(stream, new CsvReaderOptions
            {
                Separator = separator,
                HasHeader = true,
                MaxRecordSize = RowFile.MostRowBytes,
                TrackLineNumbers = true,
                PoolStrings = false,
                IncludeValuesInExceptions = false,
                MalformedData = CsvMalformedDataHandling.Throw,
                FieldCountMismatch = CsvFieldCountHandling.Throw,
                DetectSeparatorHint = false,
            });
        }
        catch (Exception e) when (e is not (DiffractException or OutOfMemoryException))
        {
            throw new DiffractException($"{file} cannot be read as CSV: {e.Message}", inner: e);
        }
    }

    static bool Next(CsvReader reader, string file)
    {
        try
        {
            return reader.Read();
        }
        catch (Exception e) when (e is not (DiffractException or OutOfMemoryException))
        {
            // The library has several kinds, and a damaged file may find more.
            throw new DiffractException($"{file} line {Line(reader)} is not CSV as its header has it: {e.Message}; mend the line, or give the rows as JSON lines", inner: e);
        }
    }

    static string Field(CsvReader reader, int place, string file)
    {
        try
        {
            return Strict.GetString(reader.GetSpan(place));
        }
        catch (DecoderFallbackException e)
        {
            throw RowFile.Bad(file, "line", Line(reader), "is not UTF-8", "save the file as UTF-8", e);
        }
        catch (Exception e) when (e is not (DiffractException or OutOfMemoryException))
        {
            throw RowFile.Bad(file, "line", Line(reader), $"cannot be read ({e.Message})", "mend it, or give the rows as JSON lines", e);
        }
    }

    static int Line(CsvReader reader) => (int)Math.Min(int.MaxValue, reader.LineNumber);

    static UTF8Encoding Strict { get; } = new(false, throwOnInvalidBytes: true);
}
