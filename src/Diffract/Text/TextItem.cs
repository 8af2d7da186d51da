namespace Diffract.Text;

/// <summary>One row of a data file: a document (<paramref name="Text"/>) or a chat (<paramref name="Turns"/>), or neither where it cannot be used.</summary>
/// <param name="Id">The row's <c>id</c>, else file name and number.</param>
/// <param name="Text">Text of a document, possibly empty; null for a chat.</param>
/// <param name="Turns">Turns of a chat; null for a document.</param>
/// <param name="Labels">The row's <c>label</c>: none, one or several.</param>
/// <param name="File">Path as given.</param>
/// <param name="Line">Counts from 1.</param>
public sealed record TextItem(string Id, string? Text, IReadOnlyList<Turn>? Turns, IReadOnlyList<string> Labels, string File, int Line)
{
    /// <summary>Why the row can be neither, in words that follow its place; null for one that can.</summary>
    public string? Fault { get; init; }

    /// <summary>What is counted in its file: "line", "row" or "element".</summary>
    public string Unit { get; init; } = "line";

    /// <summary>Where it stands, for messages.</summary>
    public string Place => $"{File} {Unit} {Line}";
}
