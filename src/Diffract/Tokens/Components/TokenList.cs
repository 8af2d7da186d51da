namespace Diffract.Tokens.Components;

/// <summary>Ids and offsets as they come.</summary>
sealed class TokenList(int capacity)
{
    int[] _ids = new int[Math.Max(capacity, 16)];
    (int Start, int End)[] _offsets = new (int Start, int End)[Math.Max(capacity, 16)];

    public int Count { get; private set; }

    public Span<(int Start, int End)> Offsets => _offsets.AsSpan(0, Count);

    public ReadOnlySpan<int> Ids => _ids.AsSpan(0, Count);

    public void Add(int id, (int Start, int End) offset)
    {
        if (Count == _ids.Length)
        {
            Array.Resize(ref _ids, Count * 2);
            Array.Resize(ref _offsets, Count * 2);
        }

        (_ids[Count], _offsets[Count]) = (id, offset);
        Count++;
    }

    /// <summary>The tokens between others that the tokenizer adds.</summary>
    public Encoding Frame(int[] before, int[] after)
    {
        int[] ids = new int[before.Length + Count + after.Length];
        (int, int)[] offsets = new (int, int)[ids.Length];
        before.CopyTo(ids, 0);
        Ids.CopyTo(ids.AsSpan(before.Length));
        Offsets.CopyTo(offsets.AsSpan(before.Length));
        after.CopyTo(ids, before.Length + Count);
        return new Encoding(ids, offsets);
    }
}
