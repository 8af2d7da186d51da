namespace Diffract.Tokens.Components;

/// <summary>The tokens of one word: ids and, relative to the word, the ranges [Starts, Ends) of its code points.</summary>
sealed record WordTokens(int[] Ids, byte[] Starts, byte[] Ends);

/// <summary>
/// Remembers short words' tokens. Of a fixed size: a word has one slot and drives out what lay there. Entries never change once written, so that many threads may use it without a lock;
/// whether a word is found changes no result.
/// </summary>
sealed class WordCache
{
    /// <summary>Longer words are not kept.</summary>
    public const int LongestWord = 32;

    const int Slots = 1 << 15;

    readonly Entry?[] _entries = new Entry?[Slots];

    public WordTokens? Find(ReadOnlySpan<int> word, out uint slot)
    {
        uint hash = Hash(word);
        slot = hash >> (32 - 15);
        Entry? entry = Volatile.Read(ref _entries[slot]);
        return entry is not null && entry.Hash == hash && word.SequenceEqual(entry.Word) ? entry.Tokens : null;
    }

    public void Keep(uint slot, ReadOnlySpan<int> word, WordTokens tokens) => Volatile.Write(ref _entries[slot], new Entry(Hash(word), word.ToArray(), tokens));

    static uint Hash(ReadOnlySpan<int> word)
    {
        ulong hash = (ulong)word.Length;
        foreach (int c in word)
        {
            hash = (hash ^ (uint)c) * 0x9E3779B97F4A7C15;
            hash ^= hash >> 29;
        }

        return (uint)(hash >> 32);
    }

    sealed record Entry(uint Hash, int[] Word, WordTokens Tokens);
}
