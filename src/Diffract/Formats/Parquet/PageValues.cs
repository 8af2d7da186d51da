using System.Buffers.Binary;
using System.Text;
using Diffract.Formats.Rows;

namespace Diffract.Formats.Parquet;

/// <summary>The values of a page, decoded one by one: strings, truth values and numbers.</summary>
sealed class PageValues
{
    const int MostLengths = 1 << 24;
    static readonly UTF8Encoding Strict = new(false, throwOnInvalidBytes: true);

    readonly Func<object> _next;

    /// <param name="type">How they are stored.</param>
    /// <param name="encoding">Number of the encoding.</param>
    /// <param name="bytes">The page after its levels.</param>
    /// <param name="dictionary">Values of the chunk's dictionary page, if there was one.</param>
    public PageValues(ParquetType type, int encoding, ReadOnlyMemory<byte> bytes, object[]? dictionary) => _next = (encoding, type) switch
    {
        (0, ParquetType.Boolean) => Bits(bytes),
        (0, _) => Plain(type, bytes),
        (2 or 8, _) => Indices(bytes, dictionary ?? throw new InvalidDataException("a page refers to a dictionary that the column lacks")),
        (3, ParquetType.Boolean) => Runs(bytes),
        (5, ParquetType.Int32 or ParquetType.Int64) => Differences(bytes),
        (6, ParquetType.ByteArray) => Lengths(bytes),
        (7, ParquetType.ByteArray) => Prefixes(bytes),
        _ => throw new InvalidDataException($"its values of the type {type} are encoded in the way {encoding}, which is not read"),
    };

    /// <exception cref="InvalidDataException">There is none, or it is damaged.</exception>
    public object Next() => _next();

    /// <summary>The values of a dictionary page.</summary>
    public static object[] Dictionary(ParquetType type, int encoding, ReadOnlyMemory<byte> bytes, int count)
    {
        // Each takes four bytes at least, or it would not be worth a dictionary.
        if (encoding is not (0 or 2) || count < 0 || count > bytes.Length / 4)
        {
            throw new InvalidDataException($"a dictionary of {count} values has {bytes.Length} bytes and the encoding {encoding}");
        }

        Func<object> next = Plain(type, bytes);
        object[] values = new object[count];
        for (int i = 0; i < count; i++)
        {
            values[i] = next();
        }

        return values;
    }

    static Func<object> Plain(ParquetType type, ReadOnlyMemory<byte> bytes)
    {
        int at = 0;
        return type switch
        {
            ParquetType.ByteArray => () => Text(Take(BinaryPrimitives.ReadInt32LittleEndian(Take(4)))),
            ParquetType.Int32 => () => RowNumber.Of(BinaryPrimitives.ReadInt32LittleEndian(Take(4))),
            ParquetType.Int64 => () => RowNumber.Of(BinaryPrimitives.ReadInt64LittleEndian(Take(8))),
            ParquetType.Float => () => RowNumber.Of(BinaryPrimitives.ReadSingleLittleEndian(Take(4))),
            ParquetType.Double => () => RowNumber.Of(BinaryPrimitives.ReadDoubleLittleEndian(Take(8))),
            _ => throw new InvalidDataException($"its values have the type {type}, which is not read"),
        };

        ReadOnlySpan<byte> Take(int count)
        {
            if (count < 0 || count > bytes.Length - at)
            {
                throw Short();
            }

            at += count;
            return bytes.Span.Slice(at - count, count);
        }
    }

    static Func<object> Bits(ReadOnlyMemory<byte> bytes)
    {
        int at = 0;
        return () => at >> 3 < bytes.Length ? (bytes.Span[at >> 3] >> (at++ & 7) & 1) == 1 : throw Short();
    }

    static Func<object> Indices(ReadOnlyMemory<byte> bytes, object[] dictionary)
    {
        int width = bytes.Length > 0 ? bytes.Span[0] : 0;
        HybridReader indices = new(bytes.Length > 0 ? bytes[1..] : bytes, width <= 32 ? width : throw new InvalidDataException($"a page has indices of {width} bits"));
        return () => indices.Next() is var i && (uint)i < (uint)dictionary.Length ? dictionary[i] : throw new InvalidDataException("a page refers to a value that its dictionary lacks");
    }

    static Func<object> Runs(ReadOnlyMemory<byte> bytes)
    {
        HybridReader runs = new(bytes.Length >= 4 ? bytes[4..] : throw Short(), 1);
        return () => runs.Next() == 1;
    }

    static Func<object> Differences(ReadOnlyMemory<byte> bytes)
    {
        DeltaReader numbers = new(bytes);
        return () => RowNumber.Of(numbers.Next());
    }

    static Func<object> Lengths(ReadOnlyMemory<byte> bytes)
    {
        int[] lengths = All(bytes, out int at);
        int i = 0;
        return () => Text(Cut(bytes, lengths, ref i, ref at));
    }

    static Func<object> Prefixes(ReadOnlyMemory<byte> bytes)
    {
        int[] prefixes = All(bytes, out int end);
        int[] lengths = All(bytes[end..], out int at);
        at += end;
        (int i, byte[] last) = (0, []);
        return () =>
        {
            int prefix = i < prefixes.Length ? prefixes[i] : throw Short();
            ReadOnlySpan<byte> rest = Cut(bytes, lengths, ref i, ref at);
            last = prefix <= last.Length ? [.. last.AsSpan(0, prefix), .. rest] : throw Short();
            return Text(last);
        };
    }

    static ReadOnlySpan<byte> Cut(ReadOnlyMemory<byte> bytes, int[] lengths, ref int i, ref int at)
    {
        int length = i < lengths.Length ? lengths[i++] : throw Short();
        if (length > bytes.Length - at)
        {
            throw Short();
        }

        at += length;
        return bytes.Span.Slice(at - length, length);
    }

    static int[] All(ReadOnlyMemory<byte> bytes, out int end)
    {
        DeltaReader reader = new(bytes);
        if (reader.Left > MostLengths)
        {
            throw new InvalidDataException($"a page has {reader.Left} values, wanted at most {MostLengths}");
        }

        List<int> lengths = [];
        while (reader.Left > 0)
        {
            long length = reader.Next();
            lengths.Add(length >= 0 && length <= bytes.Length ? (int)length : throw Short());
        }

        end = reader.End;
        return [.. lengths];
    }

    static string Text(ReadOnlySpan<byte> bytes)
    {
        try
        {
            return Strict.GetString(bytes);
        }
        catch (DecoderFallbackException e)
        {
            throw new InvalidDataException("a text is not UTF-8", e);
        }
    }

    static InvalidDataException Short() => new("a page has fewer values than it says");
}
