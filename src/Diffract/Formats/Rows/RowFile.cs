using Diffract.Formats.Parquet;
using Diffract.Runs;

namespace Diffract.Formats.Rows;

/// <summary>
/// Reads the rows of a data file, one after another, whatever its format: JSON lines (or one JSON list), CSV, TSV and plain text, each plain, gzip or Zstandard, and Parquet. The format is told by the name,
/// what it is packed with by the first bytes. Memory is bounded by <see cref="MostRowBytes"/> and, for Parquet, by a page of each column. Every error names file and row.
/// </summary>
public static class RowFile
{
    /// <summary>A longer row is refused by its number: it is a file of another kind.</summary>
    public const int MostRowBytes = 64 << 20;

    static ReadOnlySpan<byte> ParquetMagic => "PAR1"u8;

    /// <summary>The file's rows in order, read as they are asked for.</summary>
    /// <exception cref="DiffractException">The file does not exist (at once), or is damaged (when that row is reached).</exception>
    public static IEnumerable<DataRow> Read(string file, RowSelection selection)
    {
        if (!File.Exists(file))
        {
            throw DiffractException.Argument($"{file} does not exist; wanted a file of JSON lines, CSV, plain text (each plain, .gz or .zst) or Parquet");
        }

        return FormatOf(file) switch
        {
            RowFormat.Parquet => ParquetRows.Read(file, selection),
            RowFormat.Csv => CsvRows.Read(file, ',', selection),
            RowFormat.Tsv => CsvRows.Read(file, '\t', selection),
            RowFormat.Text => PlainRows.Read(file, selection.Unit),
            _ => JsonRows.Read(file, selection),
        };
    }

    /// <summary>The format of a file that is there: Parquet by its first bytes, others by name; JSON lines when the name says nothing.</summary>
    public static RowFormat FormatOf(string file)
    {
        try
        {
            using FileStream stream = new(file, FileMode.Open, FileAccess.Read, FileShare.Read, 1);
            Span<byte> first = stackalloc byte[4];
            return stream.ReadAtLeast(first, 4, throwOnEndOfStream: false) == 4 && first.SequenceEqual(ParquetMagic) ? RowFormat.Parquet : Named(file) ?? RowFormat.Json;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new DiffractException($"cannot read {file}: {e.Message}", inner: e);
        }
    }

    /// <summary>The format that a name promises, or null where it promises none.</summary>
    public static RowFormat? Named(string file) => Extension(file).ToUpperInvariant() switch
    {
        ".JSONL" or ".JSON" or ".NDJSON" => RowFormat.Json,
        ".CSV" => RowFormat.Csv,
        ".TSV" => RowFormat.Tsv,
        ".TXT" or ".TEXT" => RowFormat.Text,
        ".PARQUET" => RowFormat.Parquet,
        _ => null,
    };

    /// <summary>Whether a file is packed as a whole, going by its name.</summary>
    public static bool IsPacked(string file) => Path.GetExtension(file).ToUpperInvariant() is ".GZ" or ".ZST" or ".ZSTD" or ".PARQUET";

    static string Extension(string file) => Path.GetExtension(Path.GetExtension(file).ToUpperInvariant() is ".GZ" or ".ZST" or ".ZSTD" ? file[..^Path.GetExtension(file).Length] : file);

    internal static DiffractException Bad(string file, string unit, long number, string what, string wanted, Exception? inner = null) => new($"{file} {unit} {number} {what}; {wanted}", inner: inner);

    internal static DiffractException TooLong(string file, string unit, long number)
        => Bad(file, unit, number, $"is longer than {MostRowBytes >> 20} MiB", "wanted shorter ones: is it a file of another kind?");
}
