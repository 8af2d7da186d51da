namespace Diffract.Tokens.Components;

/// <summary>
/// The symbols of a word, merged pair by pair: always the pair of the best rank, the leftmost of equals. A short word is searched through after each merge; a long one keeps its pairs in a heap, O(n log n).
/// </summary>
ref struct PairMerger(MergeTable merges, Span<Symbol> symbols)
{
    const int SearchUpTo = 24;

    readonly MergeTable _merges = merges;
    readonly Span<Symbol> _symbols = symbols;

    /// <summary>Merges symbols[from..to), which come to lie from <paramref name="from"/> on; returns their end.</summary>
    public readonly int Merge(int from, int to)
        => to - from < 2 ? to : to - from <= SearchUpTo ? MergeShort(from, to) : MergeLong(from, to);

    readonly int MergeShort(int from, int to)
    {
        Span<Symbol> word = _symbols[from..to];
        Span<(int Rank, int Id)> pairs = stackalloc (int, int)[SearchUpTo];
        int count = word.Length;
        for (int i = 0; i + 1 < count; i++)
        {
            pairs[i] = _merges.Find(word[i].Id, word[i + 1].Id);
        }

        while (count > 1)
        {
            int best = 0;
            for (int i = 1; i + 1 < count; i++)
            {
                best = pairs[i].Rank < pairs[best].Rank ? i : best;
            }

            if (pairs[best].Rank == MergeTable.None)
            {
                break;
            }

            word[best] = new Symbol(pairs[best].Id, word[best].Start, word[best + 1].End);
            word[(best + 2)..count].CopyTo(word[(best + 1)..]);
            if (best + 2 < count)
            {
                pairs[(best + 2)..count].CopyTo(pairs[(best + 1)..]);
            }

            count--;
            if (best > 0)
            {
                pairs[best - 1] = _merges.Find(word[best - 1].Id, word[best].Id);
            }

            if (best + 1 < count)
            {
                pairs[best] = _merges.Find(word[best].Id, word[best + 1].Id);
            }
        }

        return from + count;
    }

    readonly int MergeLong(int from, int to)
    {
        Span<Symbol> word = _symbols[from..to];
        int[] previous = new int[word.Length], next = new int[word.Length];
        PairHeap heap = new(word.Length);
        for (int i = 0; i < word.Length; i++)
        {
            (previous[i], next[i]) = (i - 1, i + 1 < word.Length ? i + 1 : -1);
            if (next[i] > 0 && _merges.Find(word[i].Id, word[i + 1].Id).Rank is not MergeTable.None and int rank)
            {
                heap.Append(rank, i);
            }
        }

        heap.Order();
        while (heap.TryTake(out int rank, out int at))
        {
            int right = word[at].Id < 0 ? -1 : next[at];
            (int Rank, int Id) pair = right < 0 ? (MergeTable.None, -1) : _merges.Find(word[at].Id, word[right].Id);
            if (pair.Rank != rank)
            {
                // The pair is no more: one of its symbols has been merged with another.
                continue;
            }

            word[at] = new Symbol(pair.Id, word[at].Start, word[right].End);
            word[right].Id = -1;
            next[at] = next[right];
            if (next[at] >= 0)
            {
                previous[next[at]] = at;
                Push(heap, word, at, next[at]);
            }

            if (previous[at] >= 0)
            {
                Push(heap, word, previous[at], at);
            }
        }

        int count = 0;
        for (int i = 0; i >= 0; i = next[i])
        {
            word[count++] = word[i];
        }

        return from + count;
    }

    readonly void Push(PairHeap heap, ReadOnlySpan<Symbol> word, int left, int right)
    {
        if (_merges.Find(word[left].Id, word[right].Id).Rank is not MergeTable.None and int rank)
        {
            heap.Push(rank, left);
        }
    }
}

/// <summary>A token of a word and the range of characters that it covers.</summary>
struct Symbol(int id, int start, int end)
{
    public int Id = id;
    public int Start = start;
    public int End = end;
}

/// <summary>A heap of (rank, position), the smallest first, four children to a node.</summary>
sealed class PairHeap(int capacity)
{
    ulong[] _items = new ulong[Math.Max(capacity, 16)];
    int _count;

    /// <summary>Adds without keeping the order; <see cref="Order"/> follows.</summary>
    public void Append(int rank, int position) => _items[_count++] = Item(rank, position);

    public void Order()
    {
        for (int i = (_count - 2) / 4; i >= 0 && _count > 1; i--)
        {
            Down(i, _items[i]);
        }
    }

    public void Push(int rank, int position)
    {
        if (_count == _items.Length)
        {
            Array.Resize(ref _items, _count * 2);
        }

        ulong item = Item(rank, position);
        int at = _count++;
        while (at > 0 && _items[(at - 1) / 4] > item)
        {
            _items[at] = _items[(at - 1) / 4];
            at = (at - 1) / 4;
        }

        _items[at] = item;
    }

    public bool TryTake(out int rank, out int position)
    {
        if (_count == 0)
        {
            (rank, position) = (0, 0);
            return false;
        }

        (rank, position) = ((int)(_items[0] >> 32), (int)(uint)_items[0]);
        ulong last = _items[--_count];
        if (_count > 0)
        {
            Down(0, last);
        }

        return true;
    }

    static ulong Item(int rank, int position) => ((ulong)(uint)rank << 32) | (uint)position;

    void Down(int at, ulong item)
    {
        while (true)
        {
            int child = at * 4 + 1;
            if (child >= _count)
            {
                break;
            }

            int best = child;
            for (int k = child + 1; k < Math.Min(child + 4, _count); k++)
            {
                best = _items[k] < _items[best] ? k : best;
            }

            if (_items[best] >= item)
            {
                break;
            }

            _items[at] = _items[best];
            at = best;
        }

        _items[at] = item;
    }
}
