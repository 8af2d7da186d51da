namespace Diffract.Formats.Rows;

/// <summary>The part of a stream that is being looked at: it grows at its end and is given up at its beginning.</summary>
sealed class ByteWindow(Stream stream)
{
    byte[] _buffer = new byte[1 << 16];
    int _start;
    int _end;

    public ReadOnlySpan<byte> Span => _buffer.AsSpan(_start, _end - _start);

    public int Length => _end - _start;

    /// <summary>The first bytes; valid until more are read.</summary>
    public ReadOnlyMemory<byte> First(int count) => _buffer.AsMemory(_start, count);

    public void Drop(int count) => _start += count;

    /// <summary>Reads on; false at the end of the stream.</summary>
    public bool More()
    {
        if (_start > 0)
        {
            Span.CopyTo(_buffer);
            (_start, _end) = (0, _end - _start);
        }

        if (_end == _buffer.Length)
        {
            Array.Resize(ref _buffer, _buffer.Length * 2);
        }

        int read = stream.Read(_buffer.AsSpan(_end));
        _end += read;
        return read > 0;
    }
}
