namespace Diffract.Text;

/// <summary>A chat as the text that a model reads, with what each stretch of it is. Spans may overlap: an answer's end-of-turn mark is both template and assistant.</summary>
public sealed record RenderedChat(string Text, IReadOnlyList<TextSpan> Spans);
