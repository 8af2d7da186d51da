using System.Numerics.Tensors;
using System.Runtime.InteropServices;
using Diffract.Compute.Buffers;

namespace Diffract.Activations.Caches;

/// <summary>How the reference implementation keeps the elements of a shard (spec 1.7).</summary>
enum CacheType : byte
{
    /// <summary>torch.float32; also where <c>.meta</c> names none.</summary>
    Float32,

    /// <summary>torch.bfloat16, its 16 bits.</summary>
    BFloat16,

    /// <summary>torch.float16.</summary>
    Float16,
}

static class CacheTypes
{
    /// <summary>As <c>.meta</c> has it.</summary>
    public static string TorchName(this CacheType type) => type switch
    {
        CacheType.Float32 => "torch.float32",
        CacheType.BFloat16 => "torch.bfloat16",
        _ => "torch.float16",
    };

    /// <summary>As manifests have it.</summary>
    public static string Name(this CacheType type) => type switch
    {
        CacheType.Float32 => "f32",
        CacheType.BFloat16 => "bf16",
        _ => "f16",
    };

    public static CacheType? Find(string torchName) => torchName switch
    {
        "torch.float32" => CacheType.Float32,
        "torch.bfloat16" => CacheType.BFloat16,
        "torch.float16" => CacheType.Float16,
        _ => null,
    };

    /// <summary>Bytes of an element.</summary>
    public static int Size(this CacheType type) => type == CacheType.Float32 ? 4 : 2;

    /// <summary>Elements as float32; exact.</summary>
    public static void Widen(this CacheType type, ReadOnlySpan<byte> source, Span<float> target)
    {
        switch (type)
        {
            case CacheType.Float32:
                MemoryMarshal.Cast<byte, float>(source).CopyTo(target);
                break;
            case CacheType.BFloat16:
                BFloat16.Widen(MemoryMarshal.Cast<byte, ushort>(source), target);
                break;
            default:
                TensorPrimitives.ConvertToSingle(MemoryMarshal.Cast<byte, Half>(source), target);
                break;
        }
    }

    /// <summary>Elements as they are written, rounded to nearest, ties to even.</summary>
    public static void Narrow(this CacheType type, ReadOnlySpan<float> source, Span<byte> target)
    {
        switch (type)
        {
            case CacheType.Float32:
                source.CopyTo(MemoryMarshal.Cast<byte, float>(target));
                break;
            case CacheType.BFloat16:
                BFloat16.Round(source, MemoryMarshal.Cast<byte, ushort>(target));
                break;
            default:
                TensorPrimitives.ConvertToHalf(source, MemoryMarshal.Cast<byte, Half>(target));
                break;
        }
    }
}
