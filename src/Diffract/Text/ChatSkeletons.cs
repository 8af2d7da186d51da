using System.Collections.Concurrent;

namespace Diffract.Text;

/// <summary>Makes and keeps a template's skeletons. Safe to use from many threads.</summary>
/// <param name="render">Renders messages whose texts are marks; null with a reason where the template refuses.</param>
/// <param name="units">Cuts between tokens.</param>
sealed class ChatSkeletons(Func<string, bool, (string? Text, string? Reason)> render, TemplateUnits units)
{
    const int MostKept = 4096;
    readonly ConcurrentDictionary<(string Shape, bool Prompt), (ChatSkeleton? Skeleton, string? Reason)> _kept = new();

    // Where the same piece follows the same kind of turn it parts at the same place: chats of many turns need few renderings.
    readonly ConcurrentDictionary<(char Turn, string Piece), int> _tails = new();

    /// <summary>The skeleton of a shape, or why there is none: words that follow "the chat".</summary>
    public (ChatSkeleton? Skeleton, string? Reason) Of(string shape, bool prompt)
    {
        if (_kept.TryGetValue((shape, prompt), out (ChatSkeleton?, string?) kept))
        {
            return kept;
        }

        if (_kept.Count >= MostKept)
        {
            _kept.Clear();
            _tails.Clear();
        }

        return _kept[(shape, prompt)] = Make(shape, prompt);
    }

    (ChatSkeleton? Skeleton, string? Reason) Make(string shape, bool prompt)
    {
        (string? text, string? reason) = render(shape, prompt);
        if (text is null)
        {
            return (null, reason);
        }

        (List<string> pieces, List<Slot> slots) = ChatMessages.Cut(text);
        int[] found = new int[shape.Length];
        int strange = slots.FindIndex(s => s.Turn < 0 || s.Turn >= shape.Length || s.Part > SlotPart.Reasoning);
        if (strange >= 0 || slots.Distinct().Count() < slots.Count)
        {
            return (null, "cannot be masked: its template writes a turn's text twice or in pieces");
        }

        slots.ForEach(s => found[s.Turn] += s.Part == SlotPart.Content ? 1 : 0);
        if (Array.IndexOf(found, 0) is var missing and >= 0)
        {
            return (null, $"cannot be masked: its template leaves out the text of turn {missing} ({Role(shape[missing])})");
        }

        int[] tails = new int[slots.Count], marks = new int[slots.Count];
        for (int k = 0; k < slots.Count; k++)
        {
            if (k + 1 < slots.Count && slots[k + 1].Turn == slots[k].Turn)
            {
                continue;
            }

            string piece = pieces[k + 1];
            tails[k] = k + 1 == slots.Count && !prompt ? piece.Length : Tail(shape, slots[k].Turn, piece);
            marks[k] = units.EndMark(piece[..tails[k]]);
        }

        return (new ChatSkeleton(shape, pieces, slots, tails, marks), null);
    }

    /// <summary>
    /// How much of the piece after a turn belongs to it: what it shares with the end of the chat when that turn is the last. Where the template ends a last turn by another token than one in the middle,
    /// the token that begins the piece.
    /// </summary>
    int Tail(string shape, int turn, string piece)
    {
        if (_tails.TryGetValue((shape[turn], piece), out int kept))
        {
            return kept;
        }

        (string? text, _) = render(shape[..(turn + 1)], false);
        int tail = 0;
        if (text is not null && ChatMessages.Cut(text) is var (pieces, slots) && slots is [.., { Part: SlotPart.Content } last] && last.Turn == turn)
        {
            string end = pieces[^1];
            tail = units.SharedPrefix(end, piece);
            if (units.EndMark(piece[..tail]) == 0 && BeginsWithToken(end) && BeginsWithToken(piece))
            {
                tail = units.EndMark(piece);
            }
        }

        return _tails[(shape[turn], piece)] = tail;
    }

    bool BeginsWithToken(string text)
    {
        int spaces = text.Length - text.TrimStart().Length;
        return units.Token(text, spaces) > 0;
    }

    public static string Role(char shape) => shape switch { 'u' => "user", 's' => "system", _ => "assistant" };
}
