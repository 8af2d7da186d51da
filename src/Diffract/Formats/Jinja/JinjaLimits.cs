namespace Diffract.Formats.Jinja;

/// <summary>What one rendering may use. A template that asks for more is refused by a <c>LimitError</c>.</summary>
public sealed record JinjaLimits
{
    /// <summary>Nodes evaluated and items visited.</summary>
    public long Steps { get; init; } = 20_000_000;

    /// <summary>Nesting of expressions, blocks and macro calls, in the text and while it runs.</summary>
    public int Depth { get; init; } = 400;

    /// <summary>Characters and items made over the whole rendering, whether or not they are still held.</summary>
    public long Memory { get; init; } = 128L << 20;

    /// <summary>Characters of the template itself.</summary>
    public int TemplateLength { get; init; } = 1 << 20;
}
