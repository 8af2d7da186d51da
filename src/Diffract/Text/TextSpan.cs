namespace Diffract.Text;

/// <summary>Code points <paramref name="Start"/> to <paramref name="End"/> (not included) of a rendered chat; <paramref name="Turn"/> counts from 0 and is -1 for what belongs to none.</summary>
public readonly record struct TextSpan(int Start, int End, SpanPart Part, int Turn);
