namespace Diffract.Formats.Parquet;

/// <summary>A column chunk of a row group.</summary>
/// <param name="Start">Offset of its first page.</param>
/// <param name="Bytes">Length of its pages.</param>
/// <param name="Values">Entries, nulls included.</param>
/// <param name="Codec">How its pages are packed.</param>
readonly record struct ParquetChunk(long Start, long Bytes, long Values, ParquetCodec Codec);

/// <summary>Rows that are stored together.</summary>
sealed record ParquetRowGroup(long Rows, ParquetChunk[] Chunks);

/// <summary>How pages are packed.</summary>
enum ParquetCodec
{
    None = 0,
    Snappy = 1,
    Gzip = 2,
    Lzo = 3,
    Brotli = 4,
    Lz4 = 5,
    Zstd = 6,
    Lz4Raw = 7,
}

/// <summary>What a Parquet file says about itself: its schema and where its columns are. Every offset, length and count is held against the file's length and against the others.</summary>
sealed class ParquetFooter
{
    const int DeepestSchema = 16;
    readonly List<(string Name, int Repetition, int? Type, int Children, bool IsList)> _elements = [];
    int _leaves;

    /// <summary>The columns, each a tree.</summary>
    public List<ParquetNode> Columns { get; } = [];

    public List<ParquetRowGroup> RowGroups { get; } = [];

    /// <param name="bytes">The footer.</param>
    /// <param name="dataEnd">Where the footer begins in the file: pages must lie before.</param>
    /// <exception cref="InvalidDataException">It contradicts itself or the file.</exception>
    public ParquetFooter(ReadOnlySpan<byte> bytes, long dataEnd)
    {
        ThriftReader reader = new(bytes);
        long rows = -1;
        short field = 0;
        while (reader.Field(ref field, out ThriftKind kind))
        {
            switch (field)
            {
                case 2:
                    for (int i = reader.Structs(kind); i > 0; i--)
                    {
                        _elements.Add(Element(ref reader));
                    }

                    Build();
                    break;
                case 3:
                    rows = reader.Integer(kind);
                    break;
                case 4:
                    for (int i = reader.Structs(kind); i > 0; i--)
                    {
                        RowGroups.Add(RowGroup(ref reader, dataEnd));
                    }

                    break;
                case 8:
                    throw new InvalidDataException("it is encrypted");
                default:
                    reader.Skip(kind);
                    break;
            }
        }

        Check(rows);
    }

    void Check(long rows)
    {
        if (Columns.Count == 0)
        {
            throw new InvalidDataException("it describes no columns");
        }

        long sum = 0;
        foreach (ParquetRowGroup group in RowGroups)
        {
            if (group.Rows < 0 || group.Chunks.Length != _leaves)
            {
                throw new InvalidDataException($"a row group has {group.Rows} rows and {group.Chunks.Length} columns of {_leaves}");
            }

            sum += group.Rows;
            foreach (ParquetNode leaf in Columns.SelectMany(c => c.Leaves()))
            {
                long values = group.Chunks[leaf.Leaf].Values;
                if (leaf.Repeated == 0 ? values != group.Rows : values < group.Rows)
                {
                    throw new InvalidDataException($"column {leaf.Name} has {values} values in {group.Rows} rows");
                }
            }
        }

        if (sum != rows || rows > int.MaxValue)
        {
            throw new InvalidDataException($"it says that it has {rows} rows, and its row groups have {sum}");
        }
    }

    static (string Name, int Repetition, int? Type, int Children, bool IsList) Element(ref ThriftReader reader)
    {
        (string name, int repetition, int? type, int children, bool list) = ("", 0, (int?)null, 0, false);
        short field = 0;
        while (reader.Field(ref field, out ThriftKind kind))
        {
            switch (field)
            {
                case 1:
                    type = Small(reader.Integer(kind), 7, "type");
                    break;
                case 3:
                    repetition = Small(reader.Integer(kind), 2, "repetition");
                    break;
                case 4:
                    name = reader.Text(kind);
                    break;
                case 5:
                    children = Small(reader.Integer(kind), int.MaxValue, "number of children");
                    break;
                case 6:
                    // LIST of the older annotations.
                    list |= reader.Integer(kind) == 3;
                    break;
                case 10 when kind == ThriftKind.Struct:
                    list |= LogicalList(ref reader);
                    break;
                default:
                    reader.Skip(kind);
                    break;
            }
        }

        return (name, repetition, type, children, list);
    }

    static bool LogicalList(ref ThriftReader reader)
    {
        bool list = false;
        short field = 0;
        while (reader.Field(ref field, out ThriftKind kind))
        {
            list |= field == 3;
            reader.Skip(kind);
        }

        return list;
    }

    static int Small(long value, int most, string what) => value >= 0 && value <= most ? (int)value : throw new InvalidDataException($"its schema has the {what} {value}");

    void Build()
    {
        if (_elements.Count == 0 || Columns.Count > 0)
        {
            throw new InvalidDataException("its schema is empty or given twice");
        }

        int next = 1;
        for (int i = _elements[0].Children; i > 0; i--)
        {
            Columns.Add(Node(ref next, 0, 0, 0));
        }
    }

    ParquetNode Node(ref int next, int defined, int repeated, int depth)
    {
        if (next >= _elements.Count || depth > DeepestSchema)
        {
            throw new InvalidDataException(depth > DeepestSchema ? "its schema is nested too deeply" : "its schema promises more columns than it has");
        }

        (string name, int repetition, int? type, int children, bool list) = _elements[next++];
        if (type is null == (children == 0))
        {
            throw new InvalidDataException($"column {name} of its schema is neither a value nor a group");
        }

        defined += repetition == 0 ? 0 : 1;
        repeated += repetition == 2 ? 1 : 0;
        ParquetNode node = new(name, (ParquetRepetition)repetition, (ParquetType?)type, list) { Defined = defined, Repeated = repeated, Leaf = type is null ? -1 : _leaves++ };
        for (int i = children; i > 0; i--)
        {
            node.Children.Add(Node(ref next, defined, repeated, depth + 1));
        }

        return node;
    }

    static ParquetRowGroup RowGroup(ref ThriftReader reader, long dataEnd)
    {
        long rows = -1;
        List<ParquetChunk> chunks = [];
        short field = 0;
        while (reader.Field(ref field, out ThriftKind kind))
        {
            if (field == 1)
            {
                for (int i = reader.Structs(kind); i > 0; i--)
                {
                    chunks.Add(Chunk(ref reader, dataEnd));
                }
            }
            else if (field == 3)
            {
                rows = reader.Integer(kind);
            }
            else
            {
                reader.Skip(kind);
            }
        }

        return new ParquetRowGroup(rows, [.. chunks]);
    }

    static ParquetChunk Chunk(ref ThriftReader reader, long dataEnd)
    {
        ParquetChunk? chunk = null;
        short field = 0;
        while (reader.Field(ref field, out ThriftKind kind))
        {
            if (field == 1 && kind == ThriftKind.Binary)
            {
                if (reader.Text(kind) is { Length: > 0 } other)
                {
                    throw new InvalidDataException($"its columns lie in another file ({other})");
                }
            }
            else if (field == 3 && kind == ThriftKind.Struct)
            {
                chunk = MetaData(ref reader, dataEnd);
            }
            else
            {
                reader.Skip(kind);
            }
        }

        return chunk ?? throw new InvalidDataException("it does not say where a column is");
    }

    static ParquetChunk MetaData(ref ThriftReader reader, long dataEnd)
    {
        (long codec, long values, long bytes, long data, long dictionary) = (-1, -1, -1, -1, 0);
        short field = 0;
        while (reader.Field(ref field, out ThriftKind kind))
        {
            switch (field)
            {
                case 4:
                    codec = reader.Integer(kind);
                    break;
                case 5:
                    values = reader.Integer(kind);
                    break;
                case 7:
                    bytes = reader.Integer(kind);
                    break;
                case 9:
                    data = reader.Integer(kind);
                    break;
                case 11:
                    dictionary = reader.Integer(kind);
                    break;
                default:
                    reader.Skip(kind);
                    break;
            }
        }

        long start = dictionary > 0 && dictionary < data ? dictionary : data;
        return start >= 4 && bytes >= 0 && start <= dataEnd && bytes <= dataEnd - start && values >= 0 && codec is >= 0 and <= 7
            ? new ParquetChunk(start, bytes, values, (ParquetCodec)codec)
            : throw new InvalidDataException($"a column of {values} values and {bytes} bytes at {start} does not fit into its {dataEnd} bytes");
    }
}
