namespace Diffract.Text;

/// <summary>One turn of a chat. Roles as in the file: "user", "assistant", "system".</summary>
public sealed record Turn(string Role, string Content);
