namespace Diffract.Formats.Rows;

/// <summary>What of a file is read.</summary>
public sealed record RowSelection
{
    /// <summary>Everything.</summary>
    public static RowSelection All { get; } = new();

    /// <summary>Given the names of a file's (or a row's) columns, those that are wanted; null: all.</summary>
    public Func<IReadOnlyList<string>, IReadOnlyCollection<string>>? Columns { get; init; }

    /// <summary>Of lists of structs, the members that are wanted, where the file lets the others be passed over; null: all.</summary>
    public IReadOnlySet<string>? Members { get; init; }

    /// <summary>What of a plain text file is a row.</summary>
    public TextUnit Unit { get; init; }

    internal IReadOnlyCollection<string> Of(IReadOnlyList<string> columns) => Columns?.Invoke(columns) ?? columns;
}
