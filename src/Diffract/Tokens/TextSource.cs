namespace Diffract.Tokens;

/// <summary>Where a token document comes from.</summary>
public enum TextSource : byte
{
    Document,
    Chat,
}
