using System.Buffers.Binary;
using System.IO.Compression;
using System.IO.Hashing;

namespace Diffract.Formats.Rows;

/// <summary>
/// Unpacks a gzip file of one or several members and checks each member's checksum. The runtime's own GZipStream takes a file that is cut off for one that ends there, which would lose rows in silence.
/// </summary>
sealed class GzipMembers(FileStream file) : Stream
{
    const int Trailer = 8;
    readonly Tap _tap = new(file);
    DeflateStream? _member;
    Crc32 _crc = new();
    long _made;

    public override bool CanRead => true;

    public override bool CanSeek => false;

    public override bool CanWrite => false;

    public override long Length => throw new NotSupportedException();

    public override long Position
    {
        get => throw new NotSupportedException();
        set => throw new NotSupportedException();
    }

    public override int Read(byte[] buffer, int offset, int count) => Read(buffer.AsSpan(offset, count));

    public override int Read(Span<byte> buffer)
    {
        while (!buffer.IsEmpty)
        {
            if (_member is null && !Begin())
            {
                break;
            }

            int read = _member!.Read(buffer);
            if (read > 0)
            {
                _crc.Append(buffer[..read]);
                _made += read;
                return read;
            }

            End();
        }

        return 0;
    }

    public override void Flush()
    {
    }

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();

    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            _member?.Dispose();
            file.Dispose();
        }

        base.Dispose(disposing);
    }

    /// <summary>Reads a member's header; false at the end of the file, which may be filled up with zeros.</summary>
    bool Begin()
    {
        const int Extra = 4, Name = 8, Comment = 16, HeaderCrc = 2;
        int first = file.ReadByte();
        if (first is -1 or 0)
        {
            return false;
        }

        Span<byte> head = stackalloc byte[9];
        file.ReadExactly(head);
        if (first != 0x1f || head[0] != 0x8b || head[1] != 8)
        {
            throw new InvalidDataException("something follows that is not gzip");
        }

        int flags = head[2];
        if ((flags & Extra) != 0)
        {
            int length = Byte() | Byte() << 8;
            file.Position += length;
        }

        foreach (int text in (ReadOnlySpan<int>)[Name, Comment])
        {
            while ((flags & text) != 0 && Byte() != 0)
            {
                // Passed over.
            }
        }

        file.Position += (flags & HeaderCrc) != 0 ? 2 : 0;
        _tap.Begin();
        _member = new DeflateStream(_tap, CompressionMode.Decompress, leaveOpen: true);
        (_crc, _made) = (new Crc32(), 0);
        return true;
    }

    int Byte() => file.ReadByte() is >= 0 and var b ? b : throw new EndOfStreamException("the file ends in a header");

    /// <summary>Finds where a member ends: within what was read last, where its checksum and length stand.</summary>
    void End()
    {
        _member!.Dispose();
        _member = null;
        if (_tap.Ended)
        {
            throw new EndOfStreamException("the file ends before its data do");
        }

        Span<byte> trailer = stackalloc byte[Trailer];
        BinaryPrimitives.WriteUInt32LittleEndian(trailer, _crc.GetCurrentHashAsUInt32());
        BinaryPrimitives.WriteUInt32LittleEndian(trailer[4..], (uint)_made);
        byte[] last = new byte[(int)(file.Position - _tap.LastStart) + Trailer];
        file.Position = _tap.LastStart;
        int at = last.AsSpan(0, file.ReadAtLeast(last, last.Length, throwOnEndOfStream: false)).IndexOf(trailer);
        file.Position = at >= 0 ? _tap.LastStart + at + Trailer : throw new InvalidDataException("it does not match its checksum, or is cut off");
    }

    /// <summary>The file as the unpacker reads it; remembers where the last piece began and whether more was wanted than there is.</summary>
    sealed class Tap(FileStream file) : Stream
    {
        public long LastStart { get; private set; }

        public bool Ended { get; private set; }

        public override bool CanRead => true;

        public override bool CanSeek => false;

        public override bool CanWrite => false;

        public override long Length => throw new NotSupportedException();

        public override long Position
        {
            get => throw new NotSupportedException();
            set => throw new NotSupportedException();
        }

        public void Begin() => (LastStart, Ended) = (file.Position, false);

        public override int Read(byte[] buffer, int offset, int count) => Read(buffer.AsSpan(offset, count));

        public override int Read(Span<byte> buffer)
        {
            LastStart = file.Position;
            int read = file.Read(buffer);
            Ended |= read == 0;
            return read;
        }

        public override void Flush()
        {
        }

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();

        public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();
    }
}
