namespace Diffract.Formats;

/// <summary>
/// A tensor of a torch file: a view, by strides, into its storage. Made only when the whole view lies inside the storage and has no more elements than it (an expanded tensor repeats
/// its elements and could be of any size).
/// </summary>
public sealed unsafe class TorchTensor
{
    const int MostDimensions = 64;
    readonly TorchStorage _storage;
    readonly long _offset;
    readonly long[] _strides;

    /// <exception cref="FormatException">The view does not lie inside the storage; the message says why.</exception>
    internal TorchTensor(TorchStorage storage, string type, long offset, long[] shape, long[] strides)
    {
        (_storage, Type, _offset, Shape, _strides) = (storage, type, offset, shape, strides);
        ItemBytes = TensorEntry.ElementSize(type);
        long items = storage.Bytes / ItemBytes;
        if (shape.Length != strides.Length || shape.Length > MostDimensions || offset < 0)
        {
            throw Wrong("whose shape, strides and offset do not fit each other");
        }

        Int128 elements = 1, last = offset;
        for (int i = 0; i < shape.Length; i++)
        {
            if (shape[i] < 0 || strides[i] < 0)
            {
                throw Wrong("with a negative size or stride");
            }

            // Stays far below 2¹²⁷: elements is at most items before each product.
            elements *= shape[i];
            last += (Int128)(shape[i] - 1) * strides[i];
            if (elements > items)
            {
                throw Wrong($"of more elements than the {items} of its storage");
            }
        }

        if (elements > 0 && last >= items)
        {
            throw Wrong($"that reaches element {last} of a storage of {items}");
        }

        Elements = (long)elements;
    }

    /// <summary>As safetensors writes it: "F32", "BF16", "I64".</summary>
    public string Type { get; }

    public long[] Shape { get; }

    public long Elements { get; }

    /// <summary>Bytes of one element.</summary>
    public int ItemBytes { get; }

    /// <summary>True when the elements lie one after another, row-major, in the storage.</summary>
    public bool Contiguous
    {
        get
        {
            long next = 1;
            for (int i = Shape.Length - 1; i >= 0; i--)
            {
                if (Shape[i] != 1 && _strides[i] != next)
                {
                    return Elements == 0;
                }

                next *= Shape[i];
            }

            return true;
        }
    }

    /// <summary>Elements from one to the next, by dimension.</summary>
    internal IReadOnlyList<long> Strides => _strides;

    /// <summary>The first element, in the file.</summary>
    internal byte* First => _storage.Data + _offset * ItemBytes;

    /// <summary>Writes the elements row-major to <paramref name="target"/>, which has room for them.</summary>
    internal void CopyTo(byte* target)
    {
        if (Contiguous)
        {
            Buffer.MemoryCopy(First, target, Elements * ItemBytes, Elements * ItemBytes);
            return;
        }

        Span<long> index = stackalloc long[Shape.Length];
        byte* at = First;
        int inner = Shape.Length - 1;
        for (long done = 0; done < Elements; done += Shape[inner])
        {
            for (long i = 0; i < Shape[inner]; i++)
            {
                Buffer.MemoryCopy(at + i * _strides[inner] * ItemBytes, target, ItemBytes, ItemBytes);
                target += ItemBytes;
            }

            for (int d = inner - 1; d >= 0; d--)
            {
                at += _strides[d] * ItemBytes;
                if (++index[d] < Shape[d])
                {
                    break;
                }

                at -= Shape[d] * _strides[d] * ItemBytes;
                index[d] = 0;
            }
        }
    }

    FormatException Wrong(string what) => new($"a tensor [{string.Join(", ", Shape.Take(8))}] {what}");
}
