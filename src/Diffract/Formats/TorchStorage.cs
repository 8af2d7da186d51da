namespace Diffract.Formats;

/// <summary>A run of elements of one type that tensors look into.</summary>
/// <param name="type">As safetensors writes it; "U8" for an untyped one, whose tensors say what the bytes are.</param>
/// <param name="untyped">True when the tensors say the type.</param>
/// <param name="bytes">Length in bytes.</param>
sealed unsafe class TorchStorage(string type, bool untyped, long bytes)
{
    public string Type => type;

    public bool Untyped => untyped;

    public long Bytes => bytes;

    /// <summary>Null until the file's data have been found.</summary>
    public byte* Data { get; set; }
}
