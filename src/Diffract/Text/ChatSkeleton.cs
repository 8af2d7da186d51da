namespace Diffract.Text;

/// <summary>
/// What a template writes around the texts of a chat of some shape: pieces and the slots between them, in the order in which they appear. After a turn's slot comes a piece of which the first
/// <c>Tails</c> characters end that turn, the first <c>Marks</c> of these being the mark that a model ends an answer with; the rest begins the next turn.
/// </summary>
/// <param name="Shape">A letter a turn (<see cref="ChatMessages.OfShape"/>).</param>
/// <param name="Pieces">One more than slots.</param>
/// <param name="Slots">Which text stands after each piece.</param>
/// <param name="Tails">For each slot, of the piece after it.</param>
/// <param name="Marks">For each slot, of the piece after it.</param>
sealed record ChatSkeleton(string Shape, IReadOnlyList<string> Pieces, IReadOnlyList<Slot> Slots, int[] Tails, int[] Marks)
{
    /// <summary>Where each slot's text stands in a rendering, or null when the rendering is not these pieces with these turns' texts between them.</summary>
    public (int Start, int End)[]? Locate(string text, IReadOnlyList<Turn> turns)
    {
        (int Start, int End)[] places = new (int, int)[Slots.Count];
        int at = 0;
        for (int k = 0; k < Slots.Count; k++)
        {
            if (!Stands(text, at, Pieces[k]))
            {
                return null;
            }

            int start = at + Pieces[k].Length;
            int length = Length(text, start, Content(turns[Slots[k].Turn], k), Pieces[k + 1]);
            if (length < 0)
            {
                return null;
            }

            places[k] = (start, start + length);
            at = start + length;
        }

        return Stands(text, at, Pieces[^1]) && at + Pieces[^1].Length == text.Length ? places : null;
    }

    string Content(Turn turn, int slot)
    {
        bool reasoning = Slots[slot].Part == SlotPart.Reasoning;
        if (Shape[Slots[slot].Turn] != 'r')
        {
            return reasoning ? turn.Reasoning! : turn.Content;
        }

        (string thought, string answer) = ReasoningText.Split(turn.Content);
        return reasoning ? thought : answer;
    }

    /// <summary>How much of the text at a place is the content, as it is or with white space taken off, so that the next piece follows; -1 when none is.</summary>
    static int Length(string text, int at, string content, string next)
    {
        string? tried = null;
        for (int form = 0; form < 7; form++)
        {
            string made = Form(content, form);
            if (made != tried && Stands(text, at, made) && Stands(text, at + made.Length, next))
            {
                return made.Length;
            }

            tried = made;
        }

        return -1;
    }

    static string Form(string content, int form) => form switch
    {
        0 => content,
        1 => Formats.Jinja.Strings.Strip(content, null, left: true, right: true),
        2 => Formats.Jinja.Strings.Strip(content, null, left: false, right: true),
        3 => Formats.Jinja.Strings.Strip(content, null, left: true, right: false),
        4 => Formats.Jinja.Strings.Strip(content, "\n", left: true, right: true),
        5 => Formats.Jinja.Strings.Strip(content, "\n", left: false, right: true),
        _ => Formats.Jinja.Strings.Strip(content, "\n", left: true, right: false),
    };

    static bool Stands(string text, int at, string piece) => string.CompareOrdinal(text, at, piece, 0, piece.Length) == 0;
}
