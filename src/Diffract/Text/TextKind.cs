namespace Diffract.Text;

/// <summary>What the rows of a file are to be.</summary>
public enum TextKind
{
    Documents,
    Chats,

    /// <summary>Told row by row, by their columns.</summary>
    Either,
}
