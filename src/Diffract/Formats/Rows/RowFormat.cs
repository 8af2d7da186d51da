namespace Diffract.Formats.Rows;

/// <summary>How the rows of a file are written.</summary>
public enum RowFormat
{
    /// <summary>A JSON object a line, or one list of objects.</summary>
    Json,

    /// <summary>Comma-separated values with a header.</summary>
    Csv,

    /// <summary>The same, separated by tabs.</summary>
    Tsv,

    /// <summary>Plain text.</summary>
    Text,

    Parquet,
}
