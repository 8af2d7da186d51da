namespace Diffract.Activations;

/// <summary>How a store keeps its rows.</summary>
public enum StorageKind : byte
{
    /// <summary>Rounded to bfloat16: to nearest, ties to even.</summary>
    BFloat16,

    /// <summary>As computed, float32.</summary>
    Float32,

    /// <summary>Eight-bit codes with one float32 scale for each token and model.</summary>
    Int8,
}
