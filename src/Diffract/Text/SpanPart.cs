namespace Diffract.Text;

/// <summary>What a stretch of a rendered chat is.</summary>
public enum SpanPart : byte
{
    /// <summary>Written by the template: headers and ends of turns, not BOS.</summary>
    Template,

    /// <summary>What the user said.</summary>
    User,

    /// <summary>What the assistant said, with the mark that ends its turn: what a model generates.</summary>
    Assistant,

    /// <summary>A system turn's text, or the system text that the template puts there by itself.</summary>
    System,

    /// <summary>The beginning-of-sequence token that begins the text.</summary>
    Bos,
}
