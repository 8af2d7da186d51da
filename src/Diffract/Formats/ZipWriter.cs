using System.Buffers.Binary;
using System.IO.Hashing;
using System.Text;

namespace Diffract.Formats;

/// <summary>Writes a zip archive of stored records to a stream that cannot seek; the data of each begin at a multiple of 64 bytes, so that they can be used in place.</summary>
sealed class ZipWriter(Stream stream)
{
    const int Alignment = 64, LocalLength = 30, RecordLength = 46, WideField = 1, PaddingField = 0x4246;
    readonly List<(byte[] Name, long At, long Bytes, uint Crc)> _records = [];
    long _at;

    public void Add(string name, byte[] bytes) => Add(name, bytes.Length, s => s.Write(bytes));

    /// <summary>A record of <paramref name="bytes"/> bytes that <paramref name="write"/> produces; it is called twice, first for the checksum.</summary>
    public void Add(string name, long bytes, Action<Stream> write)
    {
        using Crc32Stream checksum = new();
        write(checksum);
        byte[] utf8 = Encoding.UTF8.GetBytes(name);
        bool wide = bytes >= uint.MaxValue;
        int extra = (wide ? 20 : 0) + 4;
        long unpadded = _at + LocalLength + utf8.Length + extra;
        int padding = (int)((Alignment - unpadded % Alignment) % Alignment);
        _records.Add((utf8, _at, bytes, checksum.Value));

        byte[] head = new byte[LocalLength + utf8.Length + extra + padding];
        BinaryPrimitives.WriteUInt32LittleEndian(head, 0x04034b50);
        Describe(head.AsSpan(4), bytes, checksum.Value, utf8.Length, extra + padding);
        utf8.CopyTo(head, LocalLength);
        Span<byte> field = head.AsSpan(LocalLength + utf8.Length);
        if (wide)
        {
            BinaryPrimitives.WriteUInt16LittleEndian(field, WideField);
            BinaryPrimitives.WriteUInt16LittleEndian(field[2..], 16);
            BinaryPrimitives.WriteInt64LittleEndian(field[4..], bytes);
            BinaryPrimitives.WriteInt64LittleEndian(field[12..], bytes);
            field = field[20..];
        }

        BinaryPrimitives.WriteUInt16LittleEndian(field, PaddingField);
        BinaryPrimitives.WriteUInt16LittleEndian(field[2..], (ushort)padding);
        Write(head);
        write(stream);
        _at += bytes;
    }

    /// <summary>Writes the directory; nothing may be added after it.</summary>
    public void Finish()
    {
        long begin = _at;
        foreach ((byte[] name, long at, long bytes, uint crc) in _records)
        {
            bool wide = bytes >= uint.MaxValue || at >= uint.MaxValue;
            byte[] record = new byte[RecordLength + name.Length + (wide ? 28 : 0)];
            BinaryPrimitives.WriteUInt32LittleEndian(record, 0x02014b50);
            BinaryPrimitives.WriteUInt16LittleEndian(record.AsSpan(4), 45);
            Describe(record.AsSpan(6), wide ? uint.MaxValue : bytes, crc, name.Length, wide ? 28 : 0);
            BinaryPrimitives.WriteUInt32LittleEndian(record.AsSpan(42), wide ? uint.MaxValue : (uint)at);
            name.CopyTo(record, RecordLength);
            if (wide)
            {
                Span<byte> field = record.AsSpan(RecordLength + name.Length);
                BinaryPrimitives.WriteUInt16LittleEndian(field, WideField);
                BinaryPrimitives.WriteUInt16LittleEndian(field[2..], 24);
                BinaryPrimitives.WriteInt64LittleEndian(field[4..], bytes);
                BinaryPrimitives.WriteInt64LittleEndian(field[12..], bytes);
                BinaryPrimitives.WriteInt64LittleEndian(field[20..], at);
            }

            Write(record);
        }

        WriteEnd(begin);
    }

    // Version needed, flags (names in UTF-8), method (stored), time and date (none), checksum, sizes, lengths.
    static void Describe(Span<byte> target, long bytes, uint crc, int nameLength, int extraLength)
    {
        uint size = bytes >= uint.MaxValue ? uint.MaxValue : (uint)bytes;
        BinaryPrimitives.WriteUInt16LittleEndian(target, 45);
        BinaryPrimitives.WriteUInt16LittleEndian(target[2..], 1 << 11);
        BinaryPrimitives.WriteUInt16LittleEndian(target[8..], 0x21);
        BinaryPrimitives.WriteUInt32LittleEndian(target[10..], crc);
        BinaryPrimitives.WriteUInt32LittleEndian(target[14..], size);
        BinaryPrimitives.WriteUInt32LittleEndian(target[18..], size);
        BinaryPrimitives.WriteUInt16LittleEndian(target[22..], (ushort)nameLength);
        BinaryPrimitives.WriteUInt16LittleEndian(target[24..], (ushort)extraLength);
    }

    void WriteEnd(long begin)
    {
        long length = _at - begin, wideEnd = _at;
        byte[] end = new byte[56 + 20 + 22];
        BinaryPrimitives.WriteUInt32LittleEndian(end, 0x06064b50);
        BinaryPrimitives.WriteInt64LittleEndian(end.AsSpan(4), 44);
        BinaryPrimitives.WriteUInt16LittleEndian(end.AsSpan(12), 45);
        BinaryPrimitives.WriteUInt16LittleEndian(end.AsSpan(14), 45);
        BinaryPrimitives.WriteInt64LittleEndian(end.AsSpan(24), _records.Count);
        BinaryPrimitives.WriteInt64LittleEndian(end.AsSpan(32), _records.Count);
        BinaryPrimitives.WriteInt64LittleEndian(end.AsSpan(40), length);
        BinaryPrimitives.WriteInt64LittleEndian(end.AsSpan(48), begin);
        Span<byte> locator = end.AsSpan(56);
        BinaryPrimitives.WriteUInt32LittleEndian(locator, 0x07064b50);
        BinaryPrimitives.WriteInt64LittleEndian(locator[8..], wideEnd);
        BinaryPrimitives.WriteUInt32LittleEndian(locator[16..], 1);
        Span<byte> last = locator[20..];
        BinaryPrimitives.WriteUInt32LittleEndian(last, 0x06054b50);
        ushort count = (ushort)Math.Min(_records.Count, ushort.MaxValue);
        BinaryPrimitives.WriteUInt16LittleEndian(last[8..], count);
        BinaryPrimitives.WriteUInt16LittleEndian(last[10..], count);
        BinaryPrimitives.WriteUInt32LittleEndian(last[12..], (uint)Math.Min(length, uint.MaxValue));
        BinaryPrimitives.WriteUInt32LittleEndian(last[16..], (uint)Math.Min(begin, uint.MaxValue));
        Write(end);
    }

    void Write(byte[] bytes)
    {
        stream.Write(bytes);
        _at += bytes.Length;
    }

    /// <summary>Takes bytes in for their checksum only.</summary>
    sealed class Crc32Stream : Stream
    {
        readonly Crc32 _crc = new();

        public uint Value => _crc.GetCurrentHashAsUInt32();

        public override bool CanRead => false;

        public override bool CanSeek => false;

        public override bool CanWrite => true;

        public override long Length => throw new NotSupportedException();

        public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }

        public override void Flush()
        {
        }

        public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();

        public override void Write(byte[] buffer, int offset, int count) => _crc.Append(buffer.AsSpan(offset, count));

        public override void Write(ReadOnlySpan<byte> buffer) => _crc.Append(buffer);
    }
}
