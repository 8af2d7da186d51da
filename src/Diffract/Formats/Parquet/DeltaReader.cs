namespace Diffract.Formats.Parquet;

/// <summary>Whole numbers as packed differences (DELTA_BINARY_PACKED), decoded one by one.</summary>
sealed class DeltaReader
{
    const int MostBlock = 1 << 20;
    readonly ReadOnlyMemory<byte> _bytes;
    readonly int _perMini;
    readonly int _minis;
    long _left;
    long _value;
    long _least;
    bool _first = true;
    int _mini;
    int _inMini;
    byte[] _widths = [];
    long _bit;

    public DeltaReader(ReadOnlyMemory<byte> bytes)
    {
        _bytes = bytes;
        ThriftReader reader = new(bytes.Span);
        (ulong block, ulong minis, ulong count) = (reader.Varint(), reader.Varint(), reader.Varint());
        _value = reader.ZigZag();
        End = reader.Position;
        if (minis == 0 || block == 0 || block > MostBlock || minis > block || block % minis != 0 || block / minis % 8 != 0 || count > int.MaxValue)
        {
            throw new InvalidDataException("a page of differences has impossible blocks");
        }

        (_minis, _perMini, _left) = ((int)minis, (int)(block / minis), (long)count);
        _mini = _minis;
        _inMini = _perMini;
    }

    /// <summary>Numbers that are left.</summary>
    public long Left => _left;

    /// <summary>Where what was decoded so far ends; after the last number, where the rest of the page begins.</summary>
    public int End { get; private set; }

    public long Next()
    {
        if (_left-- <= 0)
        {
            throw new InvalidDataException("a page has fewer values than it says");
        }

        if (_first)
        {
            _first = false;
            return _value;
        }

        if (_inMini == _perMini)
        {
            NextMini();
        }

        _inMini++;
        _value += _least + (long)Bits(_widths[_mini]);
        return _value;
    }

    void NextMini()
    {
        _mini++;
        if (_mini >= _minis)
        {
            ThriftReader reader = new(_bytes.Span[End..]);
            _least = reader.ZigZag();
            End += reader.Position;
            if (_minis > _bytes.Length - End)
            {
                throw new InvalidDataException("a page of differences is cut off");
            }

            _widths = _bytes.Slice(End, _minis).ToArray();
            End += _minis;
            _mini = 0;
        }

        _inMini = 0;
        int width = _widths[_mini];
        long length = (long)width * _perMini / 8;
        if (width > 64 || length > _bytes.Length - End)
        {
            throw new InvalidDataException("a page of differences is cut off");
        }

        _bit = End * 8L;
        End += (int)length;
    }

    ulong Bits(int width)
    {
        ulong value = 0;
        ReadOnlySpan<byte> span = _bytes.Span;
        for (int got = 0; got < width;)
        {
            int shift = (int)(_bit & 7), take = Math.Min(8 - shift, width - got);
            value |= ((ulong)span[(int)(_bit >> 3)] >> shift & (1UL << take) - 1) << got;
            got += take;
            _bit += take;
        }

        return value;
    }
}
