namespace Diffract.Formats.Parquet;

/// <summary>A node of a Parquet schema.</summary>
sealed record ParquetNode(string Name, ParquetRepetition Repetition, ParquetType? Type, bool IsList)
{
    public List<ParquetNode> Children { get; } = [];

    /// <summary>Definition level of an instance that is there.</summary>
    public int Defined { get; init; }

    /// <summary>Repetition level with which a further item of this node begins.</summary>
    public int Repeated { get; init; }

    /// <summary>Which column chunk of a row group, for a leaf.</summary>
    public int Leaf { get; init; } = -1;

    public IEnumerable<ParquetNode> Leaves() => Type is not null ? [this] : Children.SelectMany(c => c.Leaves());
}

/// <summary>How often a node stands in its parent.</summary>
enum ParquetRepetition
{
    Required,
    Optional,
    Repeated,
}

/// <summary>How a leaf's values are stored.</summary>
enum ParquetType
{
    Boolean,
    Int32,
    Int64,
    Int96,
    Float,
    Double,
    ByteArray,
    FixedLengthByteArray,
}
