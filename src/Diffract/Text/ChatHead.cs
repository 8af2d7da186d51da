namespace Diffract.Text;

/// <summary>
/// What stands before the first turn's text: BOS, a system block that the template puts there by itself, and the turn's header. The block is told from the header by how the user's turn begins and ends
/// in the middle of a chat; a header of the system's is that of the user with the word exchanged.
/// </summary>
/// <param name="units">Cuts between tokens.</param>
/// <param name="bos">Text of the BOS token; may be empty.</param>
/// <param name="userHeader">What begins a user's turn in the middle of a chat; null where no such chat can be made.</param>
/// <param name="userTail">What ends a user's turn.</param>
sealed class ChatHead(TemplateUnits units, string bos, string? userHeader, string userTail)
{
    static readonly (string User, string System)[] Words = [("user", "system"), ("User", "System"), ("USER", "SYSTEM")];
    readonly string? _systemHeader = SystemHeader(userHeader);

    /// <summary>Adds the spans of a head, in UTF-16 units.</summary>
    /// <param name="head">The text before the first slot, less what begins the answer's reasoning.</param>
    /// <param name="turn">Turn of the first slot.</param>
    /// <param name="role">Its letter.</param>
    /// <param name="spans">Where to add.</param>
    public void Add(string head, int turn, char role, List<TextSpan> spans)
    {
        int at = 0;
        if (bos.Length > 0 && head.StartsWith(bos, StringComparison.Ordinal))
        {
            spans.Add(new TextSpan(0, bos.Length, SpanPart.Bos, -1));
            at = bos.Length;
        }

        string rest = head[at..];
        if (role == 's')
        {
            int header = _systemHeader is null ? -1 : rest.IndexOf(_systemHeader, StringComparison.Ordinal);
            int text = header < 0 ? rest.Length : header + _systemHeader!.Length;
            spans.Add(new TextSpan(at, at + text, SpanPart.Template, turn));
            spans.Add(new TextSpan(at + text, head.Length, SpanPart.System, turn));
            return;
        }

        int own = role != 'u' || userHeader is null ? rest.Length : units.SharedSuffix(rest, userHeader);
        Block(rest[..^own], at, spans);
        spans.Add(new TextSpan(head.Length - own, head.Length, SpanPart.Template, turn));
    }

    /// <summary>A system block of the template's own.</summary>
    void Block(string block, int at, List<TextSpan> spans)
    {
        int header = _systemHeader is null ? -1 : block.IndexOf(_systemHeader, StringComparison.Ordinal);
        if (header >= 0)
        {
            int text = header + _systemHeader!.Length;
            int end = block.Length - (block.EndsWith(userTail, StringComparison.Ordinal) && block.Length - userTail.Length >= text ? userTail.Length : 0);
            spans.Add(new TextSpan(at, at + text, SpanPart.Template, -1));
            spans.Add(new TextSpan(at + text, at + end, SpanPart.System, -1));
            spans.Add(new TextSpan(at + end, at + block.Length, SpanPart.Template, -1));
            return;
        }

        // Without a header to go by, words are the system's and tokens the template's.
        for (int i = 0; i < block.Length;)
        {
            int from = i;
            if (char.IsWhiteSpace(block[i]) || units.Token(block, i) > 0)
            {
                while (i < block.Length && (char.IsWhiteSpace(block[i]) || units.Token(block, i) > 0))
                {
                    i += units.Unit(block, i);
                }

                spans.Add(new TextSpan(at + from, at + i, SpanPart.Template, -1));
                continue;
            }

            while (i < block.Length && units.Token(block, i) == 0)
            {
                i++;
            }

            int end = from + block[from..i].TrimEnd().Length;
            spans.Add(new TextSpan(at + from, at + end, SpanPart.System, -1));
            i = end;
        }
    }

    static string? SystemHeader(string? userHeader)
    {
        foreach ((string user, string system) in Words)
        {
            if (userHeader is not null && userHeader.Contains(user, StringComparison.Ordinal))
            {
                return userHeader.Replace(user, system, StringComparison.Ordinal);
            }
        }

        return null;
    }
}
