namespace Diffract.Formats.Parquet;

/// <summary>
/// Reads Thrift's compact protocol, in which Parquet's footer and page headers are written. Lengths are held against the bytes that are there before anything is made of them, and nesting is bounded.
/// </summary>
ref struct ThriftReader(ReadOnlySpan<byte> bytes)
{
    const int DeepestNesting = 24;
    readonly ReadOnlySpan<byte> _bytes = bytes;

    /// <summary>Bytes read so far.</summary>
    public int Position { get; private set; }

    /// <summary>The next field of a struct.</summary>
    /// <param name="last">Number of the struct's field before, 0 at its beginning; becomes this one's.</param>
    /// <param name="kind">What it holds.</param>
    public bool Field(ref short last, out ThriftKind kind)
    {
        byte head = Byte();
        kind = (ThriftKind)(head & 15);
        if (kind == ThriftKind.Stop)
        {
            return false;
        }

        last = head >> 4 == 0 ? (short)ZigZag() : (short)(last + (head >> 4));
        return true;
    }

    public byte Byte() => Position < _bytes.Length ? _bytes[Position++] : throw new InvalidDataException("it ends in the middle of its description");

    public ulong Varint()
    {
        ulong value = 0;
        for (int shift = 0; shift < 64; shift += 7)
        {
            byte b = Byte();
            value |= (ulong)(b & 0x7F) << shift;
            if (b < 0x80)
            {
                return value;
            }
        }

        throw new InvalidDataException("a number has too many bytes");
    }

    public long ZigZag()
    {
        ulong value = Varint();
        return (long)(value >> 1) ^ -(long)(value & 1);
    }

    /// <summary>A whole number of a field that is declared as one.</summary>
    public long Integer(ThriftKind kind) => kind is ThriftKind.I16 or ThriftKind.I32 or ThriftKind.I64 ? ZigZag() : throw Wrong(kind);

    public ReadOnlySpan<byte> Binary(ThriftKind kind)
    {
        ulong length = kind == ThriftKind.Binary ? Varint() : throw Wrong(kind);
        if (length > (ulong)(_bytes.Length - Position))
        {
            throw new InvalidDataException("a name is longer than its description");
        }

        ReadOnlySpan<byte> text = _bytes.Slice(Position, (int)length);
        Position += (int)length;
        return text;
    }

    public string Text(ThriftKind kind) => System.Text.Encoding.UTF8.GetString(Binary(kind));

    /// <summary>The length of a list; each element takes at least a byte.</summary>
    public int List(ThriftKind kind, out ThriftKind element)
    {
        byte head = kind is ThriftKind.List or ThriftKind.Set ? Byte() : throw Wrong(kind);
        element = (ThriftKind)(head & 15);
        ulong length = head >> 4 == 15 ? Varint() : (ulong)(head >> 4);
        return length <= (ulong)(_bytes.Length - Position) ? (int)length : throw new InvalidDataException("a list is longer than its description");
    }

    public int Structs(ThriftKind kind)
    {
        int length = List(kind, out ThriftKind element);
        return length == 0 || element == ThriftKind.Struct ? length : throw Wrong(element);
    }

    public void Skip(ThriftKind kind) => Skip(kind, 0);

    void Skip(ThriftKind kind, int depth)
    {
        if (depth > DeepestNesting)
        {
            throw new InvalidDataException("its description is nested too deeply");
        }

        switch (kind)
        {
            case ThriftKind.True or ThriftKind.False:
                return;
            case ThriftKind.Byte:
                _ = Byte();
                return;
            case ThriftKind.I16 or ThriftKind.I32 or ThriftKind.I64:
                _ = Varint();
                return;
            case ThriftKind.Double:
                Forward(8);
                return;
            case ThriftKind.Uuid:
                Forward(16);
                return;
            case ThriftKind.Binary:
                _ = Binary(kind);
                return;
            case ThriftKind.Struct:
                short last = 0;
                while (Field(ref last, out ThriftKind field))
                {
                    Skip(field, depth + 1);
                }

                return;
            case ThriftKind.List or ThriftKind.Set:
                for (int i = List(kind, out ThriftKind element); i > 0; i--)
                {
                    SkipElement(element, depth + 1);
                }

                return;
            case ThriftKind.Map:
                SkipMap(depth);
                return;
            default:
                throw Wrong(kind);
        }
    }

    void SkipMap(int depth)
    {
        ulong length = Varint();
        if (length > (ulong)(_bytes.Length - Position))
        {
            throw new InvalidDataException("a list is longer than its description");
        }

        byte kinds = length == 0 ? (byte)0 : Byte();
        for (ulong i = 0; i < length; i++)
        {
            SkipElement((ThriftKind)(kinds >> 4), depth + 1);
            SkipElement((ThriftKind)(kinds & 15), depth + 1);
        }
    }

    // In a list a truth value takes a byte.
    void SkipElement(ThriftKind kind, int depth) => Skip(kind is ThriftKind.True or ThriftKind.False ? ThriftKind.Byte : kind, depth);

    void Forward(int count) => Position = count <= _bytes.Length - Position ? Position + count : throw new InvalidDataException("it ends in the middle of its description");

    static InvalidDataException Wrong(ThriftKind kind) => new($"its description holds a value of the kind {(int)kind} where another belongs");
}

/// <summary>Kinds of values in Thrift's compact protocol.</summary>
enum ThriftKind : byte
{
    Stop = 0,
    True = 1,
    False = 2,
    Byte = 3,
    I16 = 4,
    I32 = 5,
    I64 = 6,
    Double = 7,
    Binary = 8,
    List = 9,
    Set = 10,
    Map = 11,
    Struct = 12,
    Uuid = 13,
}
