namespace Diffract.Compute.Buffers;

/// <summary>How one element of a buffer is stored.</summary>
public enum ElementType : byte
{
    /// <summary>IEEE single precision, 4 bytes.</summary>
    Float32,

    /// <summary>The upper half of a single, 2 bytes.</summary>
    BFloat16,

    /// <summary>IEEE half precision, 2 bytes; read from checkpoints only.</summary>
    Float16,

    /// <summary>IEEE double precision, 8 bytes.</summary>
    Float64,

    /// <summary>Signed integers of 4 bytes.</summary>
    Int32,

    /// <summary>Signed integers of 1 byte.</summary>
    Int8,
}

public static class ElementTypes
{
    /// <summary>Bytes that one element takes.</summary>
    public static int Size(this ElementType type) => type switch
    {
        ElementType.Float32 or ElementType.Int32 => 4,
        ElementType.BFloat16 or ElementType.Float16 => 2,
        ElementType.Float64 => 8,
        ElementType.Int8 => 1,
        _ => throw new ArgumentOutOfRangeException(nameof(type), type, "unknown element type"),
    };
}
