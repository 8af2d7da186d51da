namespace Diffract.Text;

/// <summary>A chat as the text that a model reads, with what each stretch of it is. Spans may overlap: an answer's end-of-turn mark is both template and assistant.</summary>
public sealed record RenderedChat(string Text, IReadOnlyList<TextSpan> Spans);

/// <summary>Code points <paramref name="Start"/> to <paramref name="End"/> (not included) of a rendered chat; <paramref name="Turn"/> counts from 0.</summary>
public readonly record struct TextSpan(int Start, int End, SpanPart Part, int Turn);
