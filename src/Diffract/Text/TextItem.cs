namespace Diffract.Text;

/// <summary>One line of a JSON-lines file: a document (<paramref name="Text"/>) or a chat (<paramref name="Turns"/>).</summary>
/// <param name="Id">The line's <c>id</c>, else file name and line number.</param>
/// <param name="Text">Text of a document, possibly empty; null for a chat.</param>
/// <param name="Turns">Turns of a chat; null for a document.</param>
/// <param name="Labels">The line's <c>label</c>: none, one or several.</param>
/// <param name="File">Path as given.</param>
/// <param name="Line">Counts from 1.</param>
public sealed record TextItem(string Id, string? Text, IReadOnlyList<Turn>? Turns, IReadOnlyList<string> Labels, string File, int Line);
