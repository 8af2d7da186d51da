namespace Diffract.Text;

/// <summary>An answer that holds its own reasoning, <c>&lt;think&gt;…&lt;/think&gt;…</c>.</summary>
static class ReasoningText
{
    public const string Begins = "<think>";
    public const string Ends = "</think>";

    public static bool Has(string content) => content.Contains(Ends, StringComparison.Ordinal);

    /// <summary>What stands between the marks, and what follows them: what templates take apart.</summary>
    public static (string Thought, string Answer) Split(string content)
    {
        int end = content.IndexOf(Ends, StringComparison.Ordinal), last = content.LastIndexOf(Ends, StringComparison.Ordinal);
        string thought = content[..end];
        int begin = thought.LastIndexOf(Begins, StringComparison.Ordinal);
        return (begin < 0 ? thought : thought[(begin + Begins.Length)..], content[(last + Ends.Length)..]);
    }

    /// <summary>How much of the end of a piece begins the reasoning: the mark and white space.</summary>
    public static int Opening(string piece)
    {
        int at = piece.LastIndexOf(Begins, StringComparison.Ordinal);
        return at >= 0 && string.IsNullOrWhiteSpace(piece[(at + Begins.Length)..]) ? piece.Length - at : 0;
    }
}
