using Diffract.Compute.Buffers;
using Diffract.Runs;

namespace Diffract.Formats;

/// <summary>Tensors by name, whatever the file they lie in: safetensors, a torch state dict, or a set put together from others.</summary>
public abstract unsafe class TensorFile : IDisposable
{
    protected TensorFile(string path) => FilePath = path;

    /// <summary>The file, for messages.</summary>
    public string FilePath { get; }

    public abstract IReadOnlyDictionary<string, TensorEntry> Tensors { get; }

    /// <summary>The entry, or an error that lists what is there.</summary>
    public TensorEntry this[string name] => Tensors.TryGetValue(name, out TensorEntry? entry)
        ? entry
        : throw new DiffractException($"{FilePath} has no tensor {name}; it has {Listing()}");

    /// <summary>The tensor's bytes, little-endian and row-major, in place.</summary>
    public ReadOnlySpan<byte> Bytes(string name)
    {
        TensorEntry entry = this[name];
        return entry.Bytes <= int.MaxValue
            ? new ReadOnlySpan<byte>(Start(entry), (int)entry.Bytes)
            : throw new DiffractException($"{FilePath}: tensor {name} is larger than 2 GiB, more than is read at once");
    }

    /// <summary>The tensor's memory as a read-only buffer of its own type (float32, bfloat16, float16, float64, int32), valid while the file is open.</summary>
    public HostBuffer View(string name)
    {
        TensorEntry entry = this[name];
        ElementType type = entry.Type switch
        {
            "F32" => ElementType.Float32,
            "BF16" => ElementType.BFloat16,
            "F16" => ElementType.Float16,
            "F64" => ElementType.Float64,
            "I32" => ElementType.Int32,
            _ => throw new DiffractException($"{FilePath}: tensor {name} is {entry.Type}, wanted F32, BF16, F16, F64 or I32"),
        };
        return new HostBuffer(type, entry.Elements, Start(entry), this);
    }

    /// <summary>A copy as float32, widened from bf16, f16 or rounded from f64; checked against <paramref name="shape"/> when given.</summary>
    public float[] Floats(string name, params ReadOnlySpan<long> shape)
    {
        TensorEntry entry = Checked(name, shape);
        float[] result = new float[entry.Elements];
        byte* p = Start(entry);
        switch (entry.Type)
        {
            case "F32":
                fixed (float* target = result)
                {
                    Buffer.MemoryCopy(p, target, entry.Bytes, entry.Bytes);
                }

                break;
            case "BF16":
                for (long i = 0; i < entry.Elements; i++)
                {
                    result[i] = BFloat16.ToSingle(((ushort*)p)[i]);
                }

                break;
            case "F16":
                for (long i = 0; i < entry.Elements; i++)
                {
                    result[i] = (float)((Half*)p)[i];
                }

                break;
            case "F64":
                for (long i = 0; i < entry.Elements; i++)
                {
                    result[i] = (float)((double*)p)[i];
                }

                break;
            default:
                throw new DiffractException($"{FilePath}: tensor {name} is {entry.Type}, wanted F32, BF16, F16 or F64");
        }

        return result;
    }

    /// <summary>A copy as double, from any floating type.</summary>
    public double[] Doubles(string name, params ReadOnlySpan<long> shape)
    {
        TensorEntry entry = Checked(name, shape);
        if (entry.Type != "F64")
        {
            return Array.ConvertAll(Floats(name), v => (double)v);
        }

        double[] result = new double[entry.Elements];
        fixed (double* target = result)
        {
            Buffer.MemoryCopy(Start(entry), target, entry.Bytes, entry.Bytes);
        }

        return result;
    }

    /// <summary>A copy as 64-bit integers, from any integer type of 32 bits or fewer, I64 or BOOL.</summary>
    public long[] Integers(string name, params ReadOnlySpan<long> shape)
    {
        TensorEntry entry = Checked(name, shape);
        long[] result = new long[entry.Elements];
        byte* p = Start(entry);
        for (long i = 0; i < entry.Elements; i++)
        {
            result[i] = entry.Type switch
            {
                "I64" => ((long*)p)[i],
                "I32" => ((int*)p)[i],
                "U32" => ((uint*)p)[i],
                "I16" => ((short*)p)[i],
                "U16" => ((ushort*)p)[i],
                "I8" => ((sbyte*)p)[i],
                "U8" or "BOOL" => p[i],
                _ => throw new DiffractException($"{FilePath}: tensor {name} is {entry.Type}, wanted I64, I32, I16, I8, U32, U16, U8 or BOOL"),
            };
        }

        return result;
    }

    public abstract void Dispose();

    /// <summary>The first byte of the tensor, row-major.</summary>
    internal abstract byte* Start(TensorEntry entry);

    TensorEntry Checked(string name, ReadOnlySpan<long> shape)
    {
        TensorEntry entry = this[name];
        if (shape.Length > 0 && !shape.SequenceEqual(entry.Shape))
        {
            throw new DiffractException($"{FilePath}: tensor {entry.Name} has the shape [{string.Join(", ", entry.Shape)}], wanted [{string.Join(", ", shape.ToArray())}]");
        }

        return entry.Elements <= Array.MaxLength
            ? entry
            : throw new DiffractException($"{FilePath}: tensor {name} has {entry.Elements} elements, at most {Array.MaxLength} are read at once");
    }

    string Listing()
        => Tensors.Count == 0 ? "none"
            : Tensors.Count <= 8 ? string.Join(", ", Tensors.Keys)
            : string.Join(", ", Tensors.Keys.Take(8)) + $", … ({Tensors.Count})";
}
