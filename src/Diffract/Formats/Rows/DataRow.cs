namespace Diffract.Formats.Rows;

/// <summary>
/// A row of a data file. A value is null, a string, a bool, a <see cref="RowNumber"/>, a list (<c>IReadOnlyList&lt;object?&gt;</c>) or a struct (<c>IReadOnlyDictionary&lt;string, object?&gt;</c>) of such values.
/// </summary>
/// <param name="File">Path as given.</param>
/// <param name="Number">Counts from 1.</param>
/// <param name="Fields">Values of the columns that were asked for.</param>
public sealed record DataRow(string File, int Number, IReadOnlyDictionary<string, object?> Fields)
{
    /// <summary>What is counted: "line", "row" or "element".</summary>
    public string Unit { get; init; } = "line";

    /// <summary>All columns of the file where each row has the same ones; null where each row names its own.</summary>
    public IReadOnlyList<string>? Columns { get; init; }

    /// <summary>Where it stands, for messages.</summary>
    public string Place => $"{File} {Unit} {Number}";
}
