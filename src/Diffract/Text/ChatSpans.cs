using Diffract.Formats.Jinja;

namespace Diffract.Text;

/// <summary>What each stretch of a rendering is, from where its turns' texts stand.</summary>
sealed class ChatSpans(ChatSkeleton skeleton, (int Start, int End)[] places, ChatHead head, JinjaOutput made)
{
    readonly List<TextSpan> _spans = [];
    readonly int[]? _points = CodePointsOf(made.Text);

    /// <summary>Spans in code points, none empty, in the order of their starts.</summary>
    public List<TextSpan> Make()
    {
        int opening = Opening(0);
        head.Add(skeleton.Pieces[0][..^opening], skeleton.Slots[0].Turn, skeleton.Shape[skeleton.Slots[0].Turn], _spans);
        int content = places[0].Start - opening;
        for (int k = 0; k < places.Length; k++)
        {
            Slot slot = skeleton.Slots[k];
            bool last = k + 1 == places.Length;
            if (!last && skeleton.Slots[k + 1].Turn == slot.Turn)
            {
                continue;
            }

            int end = places[k].End, next = end + skeleton.Pieces[k + 1].Length - (last ? 0 : Opening(k + 1));
            Content(content, end, end + skeleton.Marks[k], slot.Turn);
            int tail = Math.Min(end + skeleton.Tails[k], next);
            _spans.Add(new TextSpan(end, tail, SpanPart.Template, slot.Turn));
            _spans.Add(new TextSpan(tail, next, SpanPart.Template, last ? skeleton.Shape.Length : skeleton.Slots[k + 1].Turn));
            content = next;
        }

        return [.. _spans.Where(s => s.End > s.Start).OrderBy(s => s.Start).Select(s => s with { Start = Point(s.Start), End = Point(s.End) })];
    }

    /// <summary>What of the piece before a slot is the answer's own: the mark that begins its reasoning.</summary>
    int Opening(int slot) => skeleton.Slots[slot].Part == SlotPart.Reasoning ? ReasoningText.Opening(skeleton.Pieces[slot]) : 0;

    void Content(int start, int end, int marked, int turn)
    {
        char shape = skeleton.Shape[turn];
        if (shape is 'u' or 's')
        {
            _spans.Add(new TextSpan(start, end, shape == 'u' ? SpanPart.User : SpanPart.System, turn));
            return;
        }

        // A generation block says what the model generates, if it holds the answer; a block inside a macro has its span elsewhere.
        (int Start, int End) block = made.Generation.FirstOrDefault(g => g.Start <= Point(start) && g.End >= Point(end) && g.End > g.Start);
        _spans.Add(block.End == 0 ? new TextSpan(start, marked, SpanPart.Assistant, turn) : new TextSpan(Place(block.Start), Place(block.End), SpanPart.Assistant, turn));
    }

    int Point(int place) => _points is null ? place : _points[place];

    int Place(int point) => _points is null ? point : Math.Max(0, Array.BinarySearch(_points, point));

    /// <summary>Code points before each place of a text, or null where every place is one.</summary>
    static int[]? CodePointsOf(string text)
    {
        if (!text.Any(char.IsSurrogate))
        {
            return null;
        }

        int[] points = new int[text.Length + 1];
        for (int i = 0; i < text.Length; i++)
        {
            // A lone surrogate counts as one code point, as EnumerateRunes reads it.
            points[i + 1] = points[i] + (i > 0 && char.IsSurrogatePair(text[i - 1], text[i]) ? 0 : 1);
        }

        return points;
    }
}
