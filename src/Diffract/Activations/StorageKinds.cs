using Diffract.Runs;

namespace Diffract.Activations;

/// <summary>Names and sizes of what a store may keep its rows in.</summary>
public static class StorageKinds
{
    /// <summary>As <c>--storage</c> and manifests have it.</summary>
    public static string Name(this StorageKind storage) => storage switch
    {
        StorageKind.BFloat16 => "bf16",
        StorageKind.Float32 => "f32",
        _ => "int8",
    };

    /// <exception cref="DiffractException">No such kind.</exception>
    public static StorageKind Parse(string name) => name switch
    {
        "bf16" => StorageKind.BFloat16,
        "f32" => StorageKind.Float32,
        "int8" => StorageKind.Int8,
        _ => throw DiffractException.Argument($"--storage {name} is unknown; wanted bf16, f32 or int8"),
    };

    /// <summary>Bytes that one row of all models takes.</summary>
    public static long RowBytes(this StorageKind storage, IReadOnlyList<int> widths)
    {
        long e = widths.Sum(w => (long)w);
        return storage switch
        {
            StorageKind.BFloat16 => 2 * e,
            StorageKind.Float32 => 4 * e,
            _ => e + 4 * widths.Count,
        };
    }
}
