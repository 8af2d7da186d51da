using System.Buffers;
using System.Runtime.InteropServices;

namespace Diffract.Tokens.Components;

/// <summary>How a model turns words into tokens.</summary>
/// <param name="ByteLevel">A word's UTF-8 bytes are its characters, as <see cref="ByteAlphabet"/> writes them.</param>
/// <param name="ByteFallback">Characters that the vocabulary lacks become their bytes' tokens, <c>&lt;0xNN&gt;</c>.</param>
/// <param name="Unknown">Id of the unknown token.</param>
/// <param name="FuseUnknown">Neighbouring unknown characters become one token.</param>
/// <param name="WholeFirst">A word that is in the vocabulary is not merged together (<c>ignore_merges</c>).</param>
sealed record BytePairOptions(bool ByteLevel, bool ByteFallback, int? Unknown, bool FuseUnknown, bool WholeFirst);

/// <summary>
/// Byte-pair encoding: characters that the vocabulary has, else their bytes, else the unknown token; then pairs are merged, the best rank first and the leftmost of equals.
/// Where no merge joins two characters, a word may be cut between them without changing its tokens; so even a text that is one word (SentencePiece's style) comes in short pieces, which the cache knows.
/// </summary>
sealed class BytePairs
{
    /// <summary>Most symbols of a character: four bytes, each of them a character that becomes two bytes' tokens.</summary>
    const int MostSymbols = 8;

    readonly Dictionary<string, int>.AlternateLookup<ReadOnlySpan<char>> _wholes;
    readonly CharacterIds _characters;
    readonly MergeTable _merges;
    readonly MergeTable? _seams;
    readonly BytePairOptions _options;
    readonly int[]? _bytes;
    readonly bool _bytesComplete;
    readonly int _longest;
    readonly WordCache _cache = new();

    /// <param name="vocabulary">Token to id.</param>
    /// <param name="merges">The pairs of ids that merge, by rank, with the id of the merged token.</param>
    /// <param name="options">How words become tokens.</param>
    public BytePairs(Dictionary<string, int> vocabulary, List<(int Left, int Right, int Id)> merges, BytePairOptions options)
    {
        _options = options;
        _wholes = vocabulary.GetAlternateLookup<ReadOnlySpan<char>>();
        _characters = new CharacterIds(vocabulary);
        _merges = new MergeTable(merges.Count);
        for (int rank = 0; rank < merges.Count; rank++)
        {
            _merges.Set(merges[rank].Left, merges[rank].Right, rank, merges[rank].Id);
        }

        _longest = vocabulary.Count == 0 ? 0 : vocabulary.Keys.Max(t => t.Length);
        if (options.ByteFallback)
        {
            _bytes = new int[256];
            for (int b = 0; b < 256; b++)
            {
                _bytes[b] = vocabulary.GetValueOrDefault($"<0x{b:X2}>", -1);
            }
        }

        _bytesComplete = _bytes is not null && Array.TrueForAll(_bytes, b => b >= 0);
        _seams = options.ByteLevel || options.WholeFirst ? null : Seams.Of(vocabulary, merges, _characters, _bytes, options.Unknown);
    }

    /// <summary>Appends the tokens of the word text[start..end) and their ranges in the original.</summary>
    public void Encode(AlignedText text, int start, int end, TokenList tokens)
    {
        if (_seams is null || (!_bytesComplete && !Known(text.Span(start, end))))
        {
            Piece(text, start, end, tokens);
            return;
        }

        int from = start, left = _characters.Of(text.CodePoints[start]);
        for (int i = start + 1; i < end; i++)
        {
            int right = _characters.Of(text.CodePoints[i]);
            if (left < 0 || right < 0 || _seams.Find(left, right).Rank == MergeTable.None)
            {
                Piece(text, from, i, tokens);
                from = i;
            }

            left = right;
        }

        Piece(text, from, end, tokens);
    }

    bool Known(ReadOnlySpan<int> word)
    {
        foreach (int c in word)
        {
            if (_characters.Of(c) < 0)
            {
                return false;
            }
        }

        return true;
    }

    void Piece(AlignedText text, int start, int end, TokenList tokens)
    {
        ReadOnlySpan<int> word = text.Span(start, end);
        if (word.Length > WordCache.LongestWord)
        {
            foreach (Symbol s in Merged(word, new Symbol[SymbolsFor(word)]))
            {
                tokens.Add(s.Id, text.Range(start + s.Start, start + s.End));
            }

            return;
        }

        WordTokens? known = _cache.Find(word, out uint slot);
        if (known is null)
        {
            known = Fresh(word);
            _cache.Keep(slot, word, known);
        }

        for (int i = 0; i < known.Ids.Length; i++)
        {
            tokens.Add(known.Ids[i], text.Range(start + known.Starts[i], start + known.Ends[i]));
        }
    }

    WordTokens Fresh(ReadOnlySpan<int> word)
    {
        Span<Symbol> room = stackalloc Symbol[WordCache.LongestWord * MostSymbols];
        ReadOnlySpan<Symbol> symbols = Merged(word, room);
        int[] ids = new int[symbols.Length];
        byte[] starts = new byte[ids.Length], ends = new byte[ids.Length];
        for (int i = 0; i < ids.Length; i++)
        {
            (ids[i], starts[i], ends[i]) = (symbols[i].Id, (byte)symbols[i].Start, (byte)symbols[i].End);
        }

        return new WordTokens(ids, starts, ends);
    }

    int SymbolsFor(ReadOnlySpan<int> word)
    {
        if (!_options.ByteLevel && _bytes is null)
        {
            return word.Length;
        }

        int bytes = 0;
        foreach (int c in word)
        {
            bytes += c < 0x80 ? 1 : MostSymbols;
        }

        return _options.ByteLevel && _bytes is not null ? word.Length * MostSymbols : bytes;
    }

    // A word's tokens in the room given, with the ranges of its code points.
    ReadOnlySpan<Symbol> Merged(ReadOnlySpan<int> word, Span<Symbol> room)
    {
        if (_options.WholeFirst && Whole(word) is int whole)
        {
            room[0] = new Symbol(whole, 0, word.Length);
            return room[..1];
        }

        int count = _options.ByteLevel ? ByteSymbols(word, room) : CharacterSymbols(word, room);
        int[]? places = null;
        if (count < 0)
        {
            count = SymbolsWithUnknown(word, room, out places);
        }

        count = new PairMerger(_merges, room).Merge(0, count);
        if (places is not null)
        {
            foreach (ref Symbol s in room[..count])
            {
                (s.Start, s.End) = (places[s.Start], places[s.End - 1] + 1);
            }
        }

        return room[..count];
    }

    int? Whole(ReadOnlySpan<int> word)
    {
        if (word.Length > _longest)
        {
            return null;
        }

        char[] text = ArrayPool<char>.Shared.Rent(word.Length * 4);
        Span<int> bytes = stackalloc int[4];
        int length = 0;
        foreach (int c in word)
        {
            if (_options.ByteLevel)
            {
                int count = ByteAlphabet.Write(c, bytes);
                for (int k = 0; k < count; k++)
                {
                    text[length++] = (char)bytes[k];
                }
            }
            else
            {
                length += new System.Text.Rune(c).EncodeToUtf16(text.AsSpan(length));
            }
        }

        bool found = _wholes.TryGetValue(text.AsSpan(0, length), out int id);
        ArrayPool<char>.Shared.Return(text);
        return found ? id : null;
    }

    // One symbol a byte, or -1 where the vocabulary lacks one.
    int ByteSymbols(ReadOnlySpan<int> word, Span<Symbol> room)
    {
        Span<int> bytes = stackalloc int[4];
        int n = 0;
        for (int i = 0; i < word.Length; i++)
        {
            int count = ByteAlphabet.Write(word[i], bytes);
            for (int k = 0; k < count; k++)
            {
                int id = _characters.Of(bytes[k]);
                if (id < 0)
                {
                    return -1;
                }

                room[n++] = new Symbol(id, i, i + 1);
            }
        }

        return n;
    }

    // One symbol a character, or those of its bytes; -1 where a character is neither.
    int CharacterSymbols(ReadOnlySpan<int> word, Span<Symbol> room)
    {
        Span<byte> utf8 = stackalloc byte[4];
        int n = 0;
        for (int i = 0; i < word.Length; i++)
        {
            int id = _characters.Of(word[i]);
            if (id >= 0)
            {
                room[n++] = new Symbol(id, i, i + 1);
                continue;
            }

            int length = _bytes is null ? 0 : new System.Text.Rune(word[i]).EncodeToUtf8(utf8);
            for (int k = 0; k < length; k++)
            {
                if (_bytes![utf8[k]] < 0)
                {
                    return -1;
                }

                room[n++] = new Symbol(_bytes[utf8[k]], i, i + 1);
            }

            if (length == 0)
            {
                return -1;
            }
        }

        return n;
    }

    // As the reference: symbols lie end to end in UTF-8 bytes, whatever was left out; unknown characters wait until a known one comes, past those that become bytes.
    int SymbolsWithUnknown(ReadOnlySpan<int> word, Span<Symbol> room, out int[] places)
    {
        List<int> placeOf = [];
        List<Symbol> symbols = [];
        int unknown = 0, end = 0;
        Span<int> characters = stackalloc int[4];
        Span<byte> utf8 = stackalloc byte[4];
        for (int i = 0; i < word.Length; i++)
        {
            characters[0] = word[i];
            int count = _options.ByteLevel ? ByteAlphabet.Write(word[i], characters) : 1;
            foreach (int c in characters[..count])
            {
                int length = new System.Text.Rune(c).EncodeToUtf8(utf8), id = _characters.Of(c);
                CollectionsMarshal.SetCount(placeOf, placeOf.Count + length);
                CollectionsMarshal.AsSpan(placeOf)[^length..].Fill(i);
                if (id >= 0)
                {
                    Flush();
                    Add(id, length);
                }
                else if (_bytes is not null && AllBytes(utf8[..length]))
                {
                    foreach (byte b in utf8[..length])
                    {
                        Add(_bytes[b], 1);
                    }
                }
                else if (_options.Unknown is not null)
                {
                    if (!_options.FuseUnknown)
                    {
                        Flush();
                    }

                    unknown += length;
                }
            }
        }

        Flush();
        CollectionsMarshal.AsSpan(symbols).CopyTo(room);
        places = [.. placeOf];
        return symbols.Count;

        void Add(int id, int length) => symbols.Add(new Symbol(id, end, end += length));

        void Flush()
        {
            if (unknown > 0)
            {
                Add(_options.Unknown!.Value, unknown);
            }

            unknown = 0;
        }
    }

    bool AllBytes(ReadOnlySpan<byte> utf8)
    {
        foreach (byte b in utf8)
        {
            if (_bytes![b] < 0)
            {
                return false;
            }
        }

        return true;
    }
}
