namespace Diffract.Formats.Rows;

/// <summary>What of a plain text file is a document.</summary>
public enum TextUnit
{
    /// <summary>Each line that is not blank.</summary>
    Line,

    /// <summary>Lines up to a blank one.</summary>
    Paragraph,

    /// <summary>The whole file.</summary>
    File,
}
