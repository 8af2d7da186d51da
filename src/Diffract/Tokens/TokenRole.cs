namespace Diffract.Tokens;

/// <summary>What a token is; flags, since an answer's end-of-turn mark is both template and assistant.</summary>
[Flags]
public enum TokenRole : byte
{
    None = 0,

    /// <summary>The beginning-of-sequence token at position 0.</summary>
    Bos = 1,

    /// <summary>Written by the chat template: headers and ends of turns.</summary>
    Template = 2,

    /// <summary>What the user said.</summary>
    User = 4,

    /// <summary>What the assistant said, with its end-of-turn mark.</summary>
    Assistant = 8,

    /// <summary>Text of a document.</summary>
    Plain = 16,

    /// <summary>Text of a system turn, or the system text that a chat template puts there by itself.</summary>
    System = 32,
}
