namespace Diffract.Tokens;

/// <summary>
/// Byte-pair encoding: characters that the vocabulary has, else their bytes as <c>&lt;0xNN&gt;</c>, else the unknown token; then pairs are merged, the best rank first and the leftmost of
/// equals, from a heap: O(n log n), since a whole text may be one word.
/// </summary>
sealed class BytePairs
{
    readonly Dictionary<string, int> _vocabulary;
    readonly Dictionary<int, int> _characters = [];
    readonly Dictionary<ulong, (int Rank, int Id)> _merges;
    readonly int[]? _bytes;
    readonly int? _unknown;
    readonly bool _fuseUnknown;
    readonly bool _wholeFirst;

    /// <param name="vocabulary">Token to id.</param>
    /// <param name="merges">Pair of ids (left in the upper half) to rank and id of the merged token.</param>
    /// <param name="byteFallback">Characters that the vocabulary lacks become bytes.</param>
    /// <param name="unknown">Id of the unknown token.</param>
    /// <param name="fuseUnknown">Neighbouring unknown characters become one token.</param>
    /// <param name="wholeFirst">A word that is in the vocabulary is not merged together (<c>ignore_merges</c>).</param>
    public BytePairs(Dictionary<string, int> vocabulary, Dictionary<ulong, (int Rank, int Id)> merges, bool byteFallback, int? unknown, bool fuseUnknown, bool wholeFirst)
    {
        (_vocabulary, _merges, _unknown, _fuseUnknown, _wholeFirst) = (vocabulary, merges, unknown, fuseUnknown, wholeFirst);
        foreach ((string token, int id) in vocabulary)
        {
            if (System.Text.Rune.TryGetRuneAt(token.Length > 0 ? token : " ", 0, out System.Text.Rune rune) && rune.Utf16SequenceLength == token.Length)
            {
                _characters[rune.Value] = id;
            }
        }

        if (byteFallback)
        {
            _bytes = new int[256];
            for (int b = 0; b < 256; b++)
            {
                _bytes[b] = vocabulary.GetValueOrDefault($"<0x{b:X2}>", -1);
            }
        }
    }

    public static ulong Pair(int left, int right) => ((ulong)(uint)left << 32) | (uint)right;

    /// <summary>Appends the tokens of the word text[start..end) and their ranges.</summary>
    public void Encode(ReadOnlySpan<int> text, int start, int end, List<int> ids, List<(int Start, int End)> offsets)
    {
        if (_wholeFirst && _vocabulary.TryGetValue(Tokenizer.Join(text[start..end]), out int whole))
        {
            ids.Add(whole);
            offsets.Add((start, end));
            return;
        }

        Symbol[] symbols = Characters(text, start, end, out int count);
        Merge(symbols.AsSpan(0, count));
        for (int i = 0; i < count; i++)
        {
            if (symbols[i].Id >= 0)
            {
                ids.Add(symbols[i].Id);
                offsets.Add((symbols[i].Start, symbols[i].End));
            }
        }
    }

    Symbol[] Characters(ReadOnlySpan<int> text, int start, int end, out int count)
    {
        Symbol[] symbols = new Symbol[(end - start) * (_bytes is null ? 1 : 4) + 1];
        int n = 0, unknownFrom = -1, unknownTo = -1;
        Span<byte> utf8 = stackalloc byte[4];
        for (int i = start; i < end; i++)
        {
            if (_characters.TryGetValue(text[i], out int id))
            {
                Flush();
                symbols[n++] = new Symbol(id, i, i + 1);
                continue;
            }

            if (_bytes is not null)
            {
                int length = new System.Text.Rune(text[i]).EncodeToUtf8(utf8);
                bool all = true;
                for (int b = 0; b < length; b++)
                {
                    all &= _bytes[utf8[b]] >= 0;
                }

                if (all)
                {
                    // As the reference does, an unknown character before these bytes is only written after them.
                    for (int b = 0; b < length; b++)
                    {
                        symbols[n++] = new Symbol(_bytes[utf8[b]], i, i + 1);
                    }

                    continue;
                }
            }

            if (unknownFrom >= 0 && !_fuseUnknown)
            {
                Flush();
            }

            (unknownFrom, unknownTo) = (unknownFrom < 0 ? i : unknownFrom, i + 1);
        }

        Flush();
        count = n;
        return symbols;

        void Flush()
        {
            if (unknownFrom >= 0 && _unknown is { } unknown)
            {
                symbols[n++] = new Symbol(unknown, unknownFrom, unknownTo);
            }

            unknownFrom = -1;
        }
    }

    void Merge(Span<Symbol> symbols)
    {
        List<((int Position, int Id) Merge, ulong Order)> first = [];
        for (int i = 0; i < symbols.Length; i++)
        {
            symbols[i].Previous = i - 1;
            symbols[i].Next = i + 1 < symbols.Length ? i + 1 : -1;
            if (i + 1 < symbols.Length && _merges.TryGetValue(Pair(symbols[i].Id, symbols[i + 1].Id), out (int Rank, int Id) merge))
            {
                first.Add(((i, merge.Id), Order(merge.Rank, i)));
            }
        }

        PriorityQueue<(int Position, int Id), ulong> queue = new(first);
        while (queue.TryDequeue(out (int Position, int Id) top, out _))
        {
            ref Symbol left = ref symbols[top.Position];
            if (left.Id < 0 || left.Next < 0)
            {
                continue;
            }

            ref Symbol right = ref symbols[left.Next];
            if (!_merges.TryGetValue(Pair(left.Id, right.Id), out (int Rank, int Id) merge) || merge.Id != top.Id)
            {
                continue;
            }

            (left.Id, left.End, right.Id, left.Next) = (merge.Id, right.End, -1, right.Next);
            if (left.Next >= 0)
            {
                symbols[left.Next].Previous = top.Position;
                Push(queue, symbols, top.Position, left.Next);
            }

            if (left.Previous >= 0)
            {
                Push(queue, symbols, left.Previous, top.Position);
            }
        }
    }

    void Push(PriorityQueue<(int Position, int Id), ulong> queue, Span<Symbol> symbols, int left, int right)
    {
        if (_merges.TryGetValue(Pair(symbols[left].Id, symbols[right].Id), out (int Rank, int Id) merge))
        {
            queue.Enqueue((left, merge.Id), Order(merge.Rank, left));
        }
    }

    static ulong Order(int rank, int position) => ((ulong)(uint)rank << 32) | (uint)position;

    struct Symbol(int id, int start, int end)
    {
        public int Id = id;
        public int Start = start;
        public int End = end;
        public int Previous;
        public int Next;
    }
}
