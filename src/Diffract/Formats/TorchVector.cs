using Diffract.Compute.Buffers;
using Diffract.Runs;

namespace Diffract.Formats;

/// <summary>A torch file that holds one list of numbers, as <c>torch.save(tensor, path)</c> writes it; read from the mapped file a stretch at a time.</summary>
public sealed unsafe class TorchVector : IDisposable
{
    readonly TorchFile _file;
    readonly TorchTensor _tensor;
    readonly long _stride;

    TorchVector(TorchFile file)
    {
        _file = file;
        _tensor = file.Root as TorchTensor ?? throw new DiffractException($"{file.FilePath} holds {(file.Root is PickleDict ? "a dict" : "no tensor")}, wanted one list of numbers: torch.save(tensor, path)");
        if (_tensor.Shape.Length != 1 || _tensor.Type is not ("I64" or "I32" or "I16" or "U8" or "F64" or "F32" or "F16" or "BF16"))
        {
            throw new DiffractException($"{file.FilePath} holds a tensor [{string.Join(", ", _tensor.Shape.Take(8))}] of {_tensor.Type}, wanted one dimension of integers or floating-point numbers");
        }

        _stride = _tensor.Strides[0] * _tensor.ItemBytes;
    }

    public string FilePath => _file.FilePath;

    public long Length => _tensor.Elements;

    /// <summary>As safetensors writes it: "I64", "F32".</summary>
    public string Type => _tensor.Type;

    public bool IsInteger => Type[0] is 'I' or 'U';

    /// <exception cref="DiffractException">The file is damaged, or holds something else.</exception>
    public static TorchVector Open(string path)
    {
        TorchFile file = new(path);
        try
        {
            return new TorchVector(file);
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <summary>Integers <paramref name="first"/> and on, as many as <paramref name="target"/> holds.</summary>
    public void Read(long first, Span<long> target)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(first);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(first + target.Length, Length);
        byte* at = _tensor.First + (first * _stride);
        for (int i = 0; i < target.Length; i++, at += _stride)
        {
            target[i] = Type switch
            {
                "I64" => *(long*)at,
                "I32" => *(int*)at,
                "I16" => *(short*)at,
                "U8" => *at,
                _ => throw new DiffractException($"{FilePath} holds {Type}, wanted integers"),
            };
        }
    }

    /// <summary>All values of a floating-point list.</summary>
    public double[] Doubles()
    {
        if (Length > Array.MaxLength)
        {
            throw new DiffractException($"{FilePath} holds {Length} values, at most {Array.MaxLength} are read at once");
        }

        double[] values = new double[Length];
        byte* at = _tensor.First;
        for (int i = 0; i < values.Length; i++, at += _stride)
        {
            values[i] = Type switch
            {
                "F64" => *(double*)at,
                "F32" => *(float*)at,
                "F16" => (double)*(Half*)at,
                "BF16" => BFloat16.ToSingle(*(ushort*)at),
                _ => throw new DiffractException($"{FilePath} holds {Type}, wanted floating-point numbers"),
            };
        }

        return values;
    }

    public void Dispose() => _file.Dispose();
}
