namespace Diffract.Tokens;

/// <summary>
/// Finds added tokens in a text, leftmost and longest first, whatever their number: a trie over code points, walked from each position where some token can begin.
/// </summary>
sealed class AddedTokens
{
    readonly Dictionary<long, int> _children = [];
    readonly List<AddedToken?> _ends = [null];
    readonly HashSet<int> _firsts = [];

    public bool Any => _firsts.Count > 0;

    public void Add(ReadOnlySpan<int> content, AddedToken token)
    {
        if (content.Length == 0)
        {
            return;
        }

        _firsts.Add(content[0]);
        int node = 0;
        foreach (int rune in content)
        {
            if (!_children.TryGetValue(Edge(node, rune), out int next))
            {
                next = _ends.Count;
                _ends.Add(null);
                _children.Add(Edge(node, rune), next);
            }

            node = next;
        }

        _ends[node] ??= token;
    }

    /// <summary>
    /// Cuts text[start..end) into pieces: added tokens, and what lies between them (Token null). A token that takes the white space beside it (lstrip, rstrip) covers it;
    /// one that must be a single word is passed over inside a word.
    /// </summary>
    public List<(int Start, int End, AddedToken? Token)> Cut(ReadOnlySpan<int> text, int start, int end)
    {
        List<(int Start, int End, AddedToken? Token)> pieces = [];
        int from = start;
        for (int at = start; at < end;)
        {
            (int stop, AddedToken? token) = _firsts.Contains(text[at]) ? Longest(text, at, end) : (at, null);
            if (token is null)
            {
                at++;
                continue;
            }

            int left = at, right = stop;
            at = stop;
            if (token.SingleWord && ((left > start && IsWord(text[left - 1])) || (right < end && IsWord(text[right]))))
            {
                continue;
            }

            while (token.LeftStrip && left > from && IsSpace(text[left - 1]))
            {
                left--;
            }

            while (token.RightStrip && right < end && IsSpace(text[right]))
            {
                right++;
            }

            if (left > from)
            {
                pieces.Add((from, left, null));
            }

            pieces.Add((left, right, token));
            from = at = right;
        }

        if (from < end)
        {
            pieces.Add((from, end, null));
        }

        return pieces;
    }

    (int End, AddedToken? Token) Longest(ReadOnlySpan<int> text, int at, int end)
    {
        (int End, AddedToken? Token) found = (at, null);
        int node = 0;
        for (int i = at; i < end && _children.TryGetValue(Edge(node, text[i]), out node); i++)
        {
            if (_ends[node] is { } token)
            {
                found = (i + 1, token);
            }
        }

        return found;
    }

    static long Edge(int node, int rune) => ((long)node << 21) | (uint)rune;

    static bool IsSpace(int rune) => System.Text.Rune.IsWhiteSpace(new System.Text.Rune(rune));

    static bool IsWord(int rune)
    {
        System.Text.Rune r = new(rune);
        return System.Text.Rune.IsLetterOrDigit(r) || rune == '_'
            || System.Text.Rune.GetUnicodeCategory(r) is System.Globalization.UnicodeCategory.NonSpacingMark or System.Globalization.UnicodeCategory.SpacingCombiningMark
                or System.Globalization.UnicodeCategory.EnclosingMark or System.Globalization.UnicodeCategory.ConnectorPunctuation;
    }
}

/// <summary>One entry of <c>added_tokens</c>.</summary>
sealed record AddedToken(int Id, string Content, bool SingleWord, bool LeftStrip, bool RightStrip, bool Normalized, bool Special);
