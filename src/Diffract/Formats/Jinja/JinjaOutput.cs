namespace Diffract.Formats.Jinja;

/// <summary>What a template wrote.</summary>
/// <param name="Text">The text.</param>
/// <param name="Generation">
/// Spans of the <c>{% generation %}</c> blocks in code points, end exclusive, in the order in which the blocks ended. A span starts where the template's own output stood when the block ended, as in transformers;
/// so the span of a block inside a macro or a <c>set</c> block is not where its text ends up.
/// </param>
public sealed record JinjaOutput(string Text, IReadOnlyList<(int Start, int End)> Generation);
