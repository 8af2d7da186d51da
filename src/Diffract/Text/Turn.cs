namespace Diffract.Text;

/// <summary>One turn of a chat. Roles as in the file: "user", "assistant", "system".</summary>
public sealed record Turn(string Role, string Content)
{
    /// <summary>What the assistant thought before it answered, where the file keeps that apart (<c>reasoning_content</c>, <c>thinking</c> or <c>reasoning</c>).</summary>
    public string? Reasoning { get; init; }
}
