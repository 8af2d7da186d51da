namespace Diffract.Formats;

/// <summary>One tensor of a file: type as safetensors writes it ("F32"), shape, byte range in the file's data, number of elements.</summary>
public sealed record TensorEntry(string Name, string Type, long[] Shape, long Begin, long End, long Elements)
{
    public long Bytes => End - Begin;

    /// <summary>Bytes of one element of a type; 0 for an unknown one.</summary>
    public static int ElementSize(string type) => type switch
    {
        "F64" or "I64" or "U64" => 8,
        "F32" or "I32" or "U32" => 4,
        "F16" or "BF16" or "I16" or "U16" => 2,
        "I8" or "U8" or "BOOL" or "F8_E4M3" or "F8_E5M2" => 1,
        _ => 0,
    };
}
