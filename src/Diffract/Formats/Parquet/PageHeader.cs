namespace Diffract.Formats.Parquet;

/// <summary>What a page says about itself.</summary>
readonly record struct PageHeader
{
    public const int DataPage = 0, Dictionary = 2, DataPageV2 = 3;

    public int Kind { get; init; }

    /// <summary>Bytes of the page when unpacked.</summary>
    public int Unpacked { get; init; }

    /// <summary>Bytes in the file.</summary>
    public int Packed { get; init; }

    /// <summary>Entries, nulls included.</summary>
    public int Values { get; init; }

    public int Encoding { get; init; }

    /// <summary>Of a first-version page: how definition and repetition levels are written.</summary>
    public (int Defined, int Repeated) LevelEncodings { get; init; }

    /// <summary>Of a second-version page: bytes of the levels, which are never packed.</summary>
    public (int Defined, int Repeated) LevelBytes { get; init; }

    /// <summary>Whether a second-version page's values are packed.</summary>
    public bool ValuesPacked { get; init; }

    public uint? Crc { get; init; }

    /// <summary>The header at the beginning of some bytes.</summary>
    public static PageHeader Read(ReadOnlySpan<byte> bytes, out int length)
    {
        ThriftReader reader = new(bytes);
        PageHeader header = new() { Kind = -1, Unpacked = -1, Packed = -1, Values = -1, ValuesPacked = true };
        short field = 0;
        while (reader.Field(ref field, out ThriftKind kind))
        {
            switch (field)
            {
                case 1:
                    header = header with { Kind = Int(reader.Integer(kind)) };
                    break;
                case 2:
                    header = header with { Unpacked = Int(reader.Integer(kind)) };
                    break;
                case 3:
                    header = header with { Packed = Int(reader.Integer(kind)) };
                    break;
                case 4:
                    header = header with { Crc = (uint)reader.Integer(kind) };
                    break;
                case 5 or 7 or 8 when kind == ThriftKind.Struct:
                    header = Details(ref reader, header, field == 8);
                    break;
                default:
                    reader.Skip(kind);
                    break;
            }
        }

        length = reader.Position;
        return header;
    }

    // Both versions and the dictionary begin with the number of values; the second version puts nulls and rows before the encoding.
    static PageHeader Details(ref ThriftReader reader, PageHeader header, bool second)
    {
        short field = 0;
        while (reader.Field(ref field, out ThriftKind kind))
        {
            header = (field, second) switch
            {
                (1, _) => header with { Values = Int(reader.Integer(kind)) },
                (2, false) or (4, true) => header with { Encoding = Int(reader.Integer(kind)) },
                (3, false) when kind == ThriftKind.I32 => header with { LevelEncodings = (Int(reader.Integer(kind)), header.LevelEncodings.Repeated) },
                (4, false) when kind == ThriftKind.I32 => header with { LevelEncodings = (header.LevelEncodings.Defined, Int(reader.Integer(kind))) },
                (5, true) => header with { LevelBytes = (Int(reader.Integer(kind)), header.LevelBytes.Repeated) },
                (6, true) => header with { LevelBytes = (header.LevelBytes.Defined, Int(reader.Integer(kind))) },
                (7, true) => header with { ValuesPacked = kind == ThriftKind.True },
                _ => Passed(ref reader, header, kind),
            };
        }

        return header;
    }

    static PageHeader Passed(ref ThriftReader reader, PageHeader header, ThriftKind kind)
    {
        reader.Skip(kind);
        return header;
    }

    static int Int(long value) => value is >= int.MinValue and <= int.MaxValue ? (int)value : throw new InvalidDataException($"a page has the number {value}");
}
