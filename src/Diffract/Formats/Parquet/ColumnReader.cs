using System.Buffers.Binary;
using System.IO.Hashing;
using Microsoft.Win32.SafeHandles;

namespace Diffract.Formats.Parquet;

/// <summary>One entry of a leaf: where it begins in its lists, how much of its path is there, and its value when all is.</summary>
readonly record struct ColumnEntry(int Repeated, int Defined, object? Value);

/// <summary>Reads a column chunk row by row; one page is in memory at a time.</summary>
sealed class ColumnReader(SafeFileHandle file, ParquetNode leaf, ParquetChunk chunk)
{
    const int MostPageBytes = 512 << 20;
    const int MostEntries = 1 << 20;
    const int HeaderBytes = 512;

    readonly long _end = chunk.Start + chunk.Bytes;
    long _at = chunk.Start;
    long _valuesLeft = chunk.Values;
    object[]? _dictionary;
    int _inPage;
    HybridReader? _repeated;
    HybridReader? _defined;
    PageValues? _values;
    ColumnEntry? _ahead;

    public ParquetNode Leaf => leaf;

    /// <summary>The entries of the next row.</summary>
    public void NextRow(List<ColumnEntry> entries)
    {
        entries.Clear();
        entries.Add(_ahead ?? Next() ?? throw new InvalidDataException($"column {leaf.Name} has fewer rows than its row group"));
        _ahead = null;
        if (leaf.Repeated == 0)
        {
            return;
        }

        while (Next() is { } entry)
        {
            if (entry.Repeated == 0)
            {
                _ahead = entry;
                return;
            }

            if (entries.Count == MostEntries)
            {
                throw new InvalidDataException($"a row of column {leaf.Name} has more than {MostEntries} entries");
            }

            entries.Add(entry);
        }
    }

    ColumnEntry? Next()
    {
        while (_inPage == 0)
        {
            if (_valuesLeft == 0)
            {
                return null;
            }

            NextPage();
        }

        _inPage--;
        int repeated = _repeated?.Next() ?? 0, defined = _defined?.Next() ?? leaf.Defined;
        return repeated <= leaf.Repeated && defined <= leaf.Defined
            ? new ColumnEntry(repeated, defined, defined == leaf.Defined ? _values!.Next() : null)
            : throw new InvalidDataException($"column {leaf.Name} has levels that its schema does not know");
    }

    void NextPage()
    {
        PageHeader header = Header();
        byte[] page = new byte[header.Packed];
        Fill(page, _at);
        _at += header.Packed;
        if (header.Crc is { } crc && Crc32.HashToUInt32(page) != crc)
        {
            throw new InvalidDataException($"a page of column {leaf.Name} does not match its checksum");
        }

        switch (header.Kind)
        {
            case PageHeader.Dictionary:
                _dictionary = _dictionary is null
                    ? PageValues.Dictionary(leaf.Type!.Value, header.Encoding, PageUnpacker.Unpack(chunk.Codec, page, header.Unpacked), header.Values)
                    : throw new InvalidDataException($"column {leaf.Name} has two dictionaries");
                return;
            case PageHeader.DataPage or PageHeader.DataPageV2:
                if (header.Values < 0 || header.Values > _valuesLeft)
                {
                    throw new InvalidDataException($"a page of column {leaf.Name} has {header.Values} values, {_valuesLeft} are left");
                }

                (_inPage, _valuesLeft) = (header.Values, _valuesLeft - header.Values);
                ReadOnlyMemory<byte> values = header.Kind == PageHeader.DataPage ? First(header, page) : Second(header, page);
                _values = new PageValues(leaf.Type!.Value, header.Encoding, values, _dictionary);
                return;
        }
    }

    PageHeader Header()
    {
        if (_at >= _end)
        {
            throw new InvalidDataException($"the pages of column {leaf.Name} have {_valuesLeft} values fewer than they should");
        }

        // Statistics may make a header long.
        for (int most = HeaderBytes; ; most *= 16)
        {
            byte[] bytes = new byte[(int)Math.Min(most, _end - _at)];
            Fill(bytes, _at);
            try
            {
                PageHeader header = PageHeader.Read(bytes, out int length);
                _at += length;
                return header.Packed >= 0 && header.Packed <= _end - _at && header.Packed <= MostPageBytes && header.Unpacked >= 0 && header.Unpacked <= MostPageBytes
                    ? header
                    : throw new InvalidDataException($"a page of column {leaf.Name} has {header.Packed} bytes and {header.Unpacked} when unpacked; wanted what fits into its {chunk.Bytes}, and at most {MostPageBytes >> 20} MiB");
            }
            catch (InvalidDataException) when (bytes.Length == most && most < MostPageBytes / 16 && _at + most <= _end)
            {
                // Once more with more of it.
            }
        }
    }

    /// <summary>A first-version page is packed as a whole; its levels stand before the values, each with its length.</summary>
    ReadOnlyMemory<byte> First(PageHeader header, byte[] packed)
    {
        ReadOnlyMemory<byte> page = PageUnpacker.Unpack(chunk.Codec, packed, header.Unpacked);
        _repeated = leaf.Repeated == 0 ? null : Levels(header.LevelEncodings.Repeated, leaf.Repeated, ref page);
        _defined = leaf.Defined == 0 ? null : Levels(header.LevelEncodings.Defined, leaf.Defined, ref page);
        return page;
    }

    HybridReader Levels(int encoding, int most, ref ReadOnlyMemory<byte> page)
    {
        const int Runs = 3;
        int length = page.Length >= 4 ? BinaryPrimitives.ReadInt32LittleEndian(page.Span) : -1;
        if (encoding != Runs || length < 0 || length > page.Length - 4)
        {
            throw new InvalidDataException($"a page of column {leaf.Name} has levels of {length} bytes in the encoding {encoding}; wanted runs that fit into it");
        }

        HybridReader levels = new(page.Slice(4, length), Width(most));
        page = page[(4 + length)..];
        return levels;
    }

    /// <summary>In a second-version page the levels are not packed.</summary>
    ReadOnlyMemory<byte> Second(PageHeader header, byte[] page)
    {
        (int defined, int repeated) = header.LevelBytes;
        if (defined < 0 || repeated < 0 || (long)defined + repeated > page.Length || (long)defined + repeated > header.Unpacked)
        {
            throw new InvalidDataException($"a page of column {leaf.Name} has levels of {defined} and {repeated} bytes in {page.Length}");
        }

        _repeated = leaf.Repeated == 0 ? null : new HybridReader(page.AsMemory(0, repeated), Width(leaf.Repeated));
        _defined = leaf.Defined == 0 ? null : new HybridReader(page.AsMemory(repeated, defined), Width(leaf.Defined));
        ReadOnlyMemory<byte> values = page.AsMemory(repeated + defined);
        int unpacked = header.Unpacked - repeated - defined;
        return header.ValuesPacked && !(values.Length == 0 && unpacked == 0) ? PageUnpacker.Unpack(chunk.Codec, values.Span, unpacked) : values;
    }

    static int Width(int most) => 32 - System.Numerics.BitOperations.LeadingZeroCount((uint)most);

    void Fill(Span<byte> bytes, long at)
    {
        while (bytes.Length > 0)
        {
            int read = RandomAccess.Read(file, bytes, at);
            if (read == 0)
            {
                throw new InvalidDataException("it ends in the middle of a page");
            }

            bytes = bytes[read..];
            at += read;
        }
    }
}
