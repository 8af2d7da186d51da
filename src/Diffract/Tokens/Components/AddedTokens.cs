namespace Diffract.Tokens.Components;

/// <summary>
/// Finds added tokens in a text, leftmost and longest first, whatever their number: a trie over code points, walked from each position where some token can begin.
/// </summary>
sealed class AddedTokens
{
    readonly Dictionary<long, int> _children = [];
    readonly List<AddedToken?> _ends = [null];
    readonly HashSet<int> _firsts = [];
    readonly ulong[] _ascii = new ulong[2];

    public bool Any => _firsts.Count > 0;

    public void Add(ReadOnlySpan<int> content, AddedToken token)
    {
        if (content.Length == 0)
        {
            return;
        }

        _firsts.Add(content[0]);
        if (content[0] < 0x80)
        {
            _ascii[content[0] >> 6] |= 1UL << (content[0] & 63);
        }

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
    /// one that must be a single word is passed over inside a word. As in the reference, white space that one token took may still begin another, which then lies over it.
    /// </summary>
    public List<(int Start, int End, AddedToken? Token)> Cut(ReadOnlySpan<int> text, int start, int end)
    {
        List<(int Start, int End, AddedToken? Token)> pieces = [];
        int from = start;
        for (int at = start; at < end;)
        {
            (int stop, AddedToken? token) = MayBegin(text[at]) ? Longest(text, at, end) : (at, null);
            if (token is null)
            {
                at++;
                continue;
            }

            int left = at, right = stop;
            at = stop;
            if (token.SingleWord && ((left > start && Characters.IsWord(text[left - 1])) || (right < end && Characters.IsWord(text[right]))))
            {
                continue;
            }

            if (token.LeftStrip)
            {
                while (left > start && Characters.IsSpace(text[left - 1]))
                {
                    left--;
                }

                left = Math.Max(left, from);
            }

            while (token.RightStrip && right < end && Characters.IsSpace(text[right]))
            {
                right++;
            }

            if (left >= right)
            {
                continue;
            }

            if (left > from)
            {
                pieces.Add((from, left, null));
            }

            pieces.Add((left, right, token));
            from = right;
        }

        if (from < end)
        {
            pieces.Add((from, end, null));
        }

        return pieces;
    }

    bool MayBegin(int c) => c < 0x80 ? (_ascii[c >> 6] >> (c & 63) & 1) != 0 : _firsts.Contains(c);

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
}

/// <summary>One entry of <c>added_tokens</c>.</summary>
sealed record AddedToken(int Id, string Content, bool SingleWord, bool LeftStrip, bool RightStrip, bool Normalized, bool Special);
