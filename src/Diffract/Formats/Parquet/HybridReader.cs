namespace Diffract.Formats.Parquet;

/// <summary>Numbers as runs and as packed bits, in which levels and dictionary indices are written; decoded one by one, so that a long run takes no memory.</summary>
sealed class HybridReader(ReadOnlyMemory<byte> bytes, int width)
{
    int _at;
    long _left;
    bool _packed;
    uint _value;
    long _bit;

    /// <summary>The next number.</summary>
    /// <exception cref="InvalidDataException">There is none.</exception>
    public int Next()
    {
        if (width == 0)
        {
            return 0;
        }

        while (_left == 0)
        {
            NextRun();
        }

        _left--;
        return (int)(_packed ? Bits() : _value);
    }

    void NextRun()
    {
        uint head = Varint();
        _left = head >> 1;
        _packed = (head & 1) == 1;
        if (_packed)
        {
            _bit = _at * 8L;
            long length = _left * width;
            _left *= 8;

            // The last group of some writers is cut off after its last number.
            _at = (int)Math.Min(bytes.Length, _at + length);
            return;
        }

        _value = 0;
        for (int i = 0; i < (width + 7) / 8; i++)
        {
            _value |= (uint)Byte() << (8 * i);
        }
    }

    uint Bits()
    {
        int from = (int)(_bit >> 3), shift = (int)(_bit & 7);
        ReadOnlySpan<byte> span = bytes.Span;
        if (_bit + width > span.Length * 8L)
        {
            throw Short();
        }

        ulong value = 0;
        for (int i = 0; i * 8 < shift + width; i++)
        {
            value |= (ulong)span[from + i] << (8 * i);
        }

        _bit += width;
        return (uint)(value >> shift & (1UL << width) - 1);
    }

    uint Varint()
    {
        uint value = 0;
        for (int shift = 0; shift < 35; shift += 7)
        {
            byte b = Byte();
            value |= (uint)(b & 0x7F) << shift;
            if (b < 0x80)
            {
                return value;
            }
        }

        throw new InvalidDataException("a run of a page is too long");
    }

    byte Byte() => _at < bytes.Length ? bytes.Span[_at++] : throw Short();

    static InvalidDataException Short() => new("a page has fewer values than it says");
}
