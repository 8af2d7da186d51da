using System.Buffers.Binary;
using System.IO.Hashing;
using System.Text;
using Diffract.Runs;

namespace Diffract.Formats;

/// <summary>
/// The records of a mapped zip archive as torch writes them: stored, not compressed, so that each is a range of the file. Everything is checked against the file's length before use,
/// checksums included; a compressed record is refused, so reading never takes more than the file.
/// </summary>
sealed unsafe class ZipRecords
{
    const uint EndMark = 0x06054b50, WideEndMark = 0x06064b50, WideLocatorMark = 0x07064b50, RecordMark = 0x02014b50, LocalMark = 0x04034b50;
    const int EndLength = 22, WideEndLength = 56, WideLocatorLength = 20, RecordLength = 46, LocalLength = 30;
    const int WideField = 1;
    readonly MappedFile _file;
    long _sum;
    readonly Dictionary<string, (long Begin, long Bytes, uint Crc)> _records = new(StringComparer.Ordinal);

    /// <exception cref="DiffractException">The archive is damaged, or has a record that is compressed or encrypted.</exception>
    public ZipRecords(MappedFile file)
    {
        _file = file;
        (long at, long count) = Directory();
        for (long i = 0; i < count; i++)
        {
            at = ReadRecord(at);
        }
    }

    public IReadOnlyCollection<string> Names => _records.Keys;

    /// <summary>True when the file begins as a zip archive does.</summary>
    public static bool Is(MappedFile file) => file.Length >= 4 && *(uint*)file.Start == LocalMark;

    /// <summary>Where a record's bytes lie; null when there is no such record.</summary>
    /// <exception cref="DiffractException">The bytes do not have the record's checksum.</exception>
    public (long Begin, long Bytes)? Find(string name)
    {
        if (!_records.TryGetValue(name, out (long Begin, long Bytes, uint Crc) record))
        {
            return null;
        }

        Crc32 crc = new();
        for (long at = 0; at < record.Bytes; at += 1 << 30)
        {
            crc.Append(new ReadOnlySpan<byte>(_file.Start + record.Begin + at, (int)Math.Min(1 << 30, record.Bytes - at)));
        }

        return crc.GetCurrentHashAsUInt32() == record.Crc
            ? (record.Begin, record.Bytes)
            : throw Broken($"the checksum of {name} does not hold; fetch the file again");
    }

    /// <summary>Begin of the directory and number of its records.</summary>
    (long At, long Count) Directory()
    {
        for (long at = _file.Length - EndLength; at >= Math.Max(0, _file.Length - EndLength - ushort.MaxValue); at--)
        {
            if (*(uint*)(_file.Start + at) != EndMark)
            {
                continue;
            }

            ReadOnlySpan<byte> end = Span(at, EndLength, "end");
            (long count, long begin) = (Short(end, 10), BinaryPrimitives.ReadUInt32LittleEndian(end[16..]));
            if (at >= WideLocatorLength && *(uint*)(_file.Start + at - WideLocatorLength) == WideLocatorMark)
            {
                long wideEnd = Long(Span(at - WideLocatorLength, WideLocatorLength, "locator")[8..]);
                ReadOnlySpan<byte> wide = Span(wideEnd, WideEndLength, "end");
                if (BinaryPrimitives.ReadUInt32LittleEndian(wide) != WideEndMark)
                {
                    throw Broken("its 64-bit end is not where it should be");
                }

                (count, begin) = (Long(wide[32..]), Long(wide[48..]));
            }

            return begin <= _file.Length && count <= (_file.Length - begin) / RecordLength
                ? (begin, count)
                : throw Broken($"its directory of {count} records at byte {begin} does not fit in {_file.Length} bytes");
        }

        throw Broken("it has no directory at its end: the file is truncated; fetch it again");
    }

    /// <summary>Takes one record of the directory and returns where the next one begins.</summary>
    long ReadRecord(long at)
    {
        ReadOnlySpan<byte> head = Span(at, RecordLength, "directory");
        int nameLength = Short(head, 28), extraLength = Short(head, 30);
        ReadOnlySpan<byte> tail = Span(at + RecordLength, nameLength + extraLength, "directory");
        if (BinaryPrimitives.ReadUInt32LittleEndian(head) != RecordMark)
        {
            throw Broken($"its directory is damaged at byte {at}");
        }

        // Only what does not fit in 32 bits stands in the wide field, in this order.
        ReadOnlySpan<byte> wide = Wide(tail[nameLength..]);
        long bytes = Value(head, 24, ref wide), packed = Value(head, 20, ref wide), local = Value(head, 42, ref wide);
        string name = Encoding.UTF8.GetString(tail[..nameLength]);
        (int flags, int method) = (Short(head, 8), Short(head, 10));
        if (method != 0 || packed != bytes || (flags & 1) != 0)
        {
            throw Broken($"record {name} is {((flags & 1) != 0 ? "encrypted" : "compressed")}, wanted stored, as torch.save writes it");
        }

        ReadOnlySpan<byte> before = Span(local, LocalLength, "record " + name);
        long begin = local + LocalLength + Short(before, 26) + Short(before, 28);
        if (BinaryPrimitives.ReadUInt32LittleEndian(before) != LocalMark || begin > _file.Length || bytes > _file.Length - begin)
        {
            throw Broken($"record {name} of {bytes} bytes does not lie inside its {_file.Length} bytes");
        }

        if (!_records.TryAdd(name, (begin, bytes, BinaryPrimitives.ReadUInt32LittleEndian(head[16..]))))
        {
            throw Broken($"record {name} is there twice");
        }

        // Records that lie over one another could make a small file long to read.
        _sum += bytes;
        return _sum <= _file.Length
            ? at + RecordLength + nameLength + extraLength + Short(head, 32)
            : throw Broken("its records are longer than the file");
    }

    static ReadOnlySpan<byte> Wide(ReadOnlySpan<byte> extra)
    {
        while (extra.Length >= 4)
        {
            int length = Math.Min(Short(extra, 2), extra.Length - 4);
            if (Short(extra, 0) == WideField)
            {
                return extra.Slice(4, length);
            }

            extra = extra[(4 + length)..];
        }

        return [];
    }

    long Value(ReadOnlySpan<byte> head, int at, ref ReadOnlySpan<byte> wide)
    {
        uint value = BinaryPrimitives.ReadUInt32LittleEndian(head[at..]);
        if (value != uint.MaxValue || wide.Length < sizeof(long))
        {
            return value;
        }

        long result = Long(wide);
        wide = wide[sizeof(long)..];
        return result;
    }

    long Long(ReadOnlySpan<byte> bytes)
    {
        long value = BinaryPrimitives.ReadInt64LittleEndian(bytes);
        return value >= 0 ? value : throw Broken("a 64-bit number of its directory is out of range");
    }

    static int Short(ReadOnlySpan<byte> bytes, int at) => BinaryPrimitives.ReadUInt16LittleEndian(bytes[at..]);

    ReadOnlySpan<byte> Span(long at, int length, string what)
        => at >= 0 && at <= _file.Length - length
            ? new ReadOnlySpan<byte>(_file.Start + at, length)
            : throw Broken($"its {what} at byte {at} does not lie inside its {_file.Length} bytes");

    DiffractException Broken(string what) => new($"{_file.FilePath} is not a sound zip archive: {what}");
}
