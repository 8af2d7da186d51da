using Diffract.Compute.Buffers;
using Diffract.Formats;

namespace Diffract.Activations;

/// <summary>Rows of all models in memory, rounded as the store keeps them: what a shard is made in before it is written, and a window of a stream before it is trained on.</summary>
sealed unsafe class ShardRows : IDisposable
{
    const int WriteBytes = 1 << 24;
    readonly HostBuffer _x_BE;
    readonly HostBuffer? _scale_BM;
    readonly int[] _widths, _offsets;
    readonly int _e;

    /// <param name="storage">How they are kept.</param>
    /// <param name="widths">Width of each model.</param>
    /// <param name="rows">Room for so many.</param>
    public ShardRows(StorageKind storage, int[] widths, int rows)
    {
        (Storage, _widths, _e, Rows) = (storage, widths, widths.Sum(), rows);
        _offsets = ActivationStore.Offsets(widths);
        _x_BE = new HostBuffer(TypeOf(storage), (long)rows * _e);
        _scale_BM = storage == StorageKind.Int8 ? new HostBuffer(ElementType.Float32, (long)rows * widths.Length) : null;
    }

    public StorageKind Storage { get; }

    public int Rows { get; }

    /// <summary>Says what a model's part of a row is, whole: where rounding depends on it, this comes before <see cref="Round"/>.</summary>
    public void Begin(int row, int model, ReadOnlySpan<float> values)
    {
        if (_scale_BM is not null)
        {
            _scale_BM.Floats[((long)row * _widths.Length) + model] = ScaledInt8.Scale(values);
        }
    }

    /// <summary>Keeps finite values of one model, from column <paramref name="column"/> of all models on, and adds to <paramref name="lost"/>, unless it is empty, the square of what rounding took from each.</summary>
    public void Round(int row, int model, int column, ReadOnlySpan<float> values, Span<double> lost)
    {
        long at = ((long)row * _e) + column;
        switch (Storage)
        {
            case StorageKind.Float32:
                values.CopyTo(new Span<float>(_x_BE.Floats + at, values.Length));
                break;
            case StorageKind.BFloat16:
                Span<ushort> bits = new((ushort*)_x_BE.Pointer + at, values.Length);
                BFloat16.Round(values, bits);
                for (int i = 0; i < lost.Length; i++)
                {
                    double off = (double)values[i] - BFloat16.ToSingle(bits[i]);
                    lost[i] += off * off;
                }

                break;
            default:
                float scale = _scale_BM!.Floats[((long)row * _widths.Length) + model];
                Span<sbyte> codes = new((sbyte*)_x_BE.Pointer + at, values.Length);
                ScaledInt8.Round(values, scale, codes);
                for (int i = 0; i < lost.Length; i++)
                {
                    double off = (double)values[i] - codes[i] * scale;
                    lost[i] += off * off;
                }

                break;
        }
    }

    /// <summary>A row as a store gives it back, as float32.</summary>
    public void Read(long row, Span<float> target) => ShardFile.Read(Storage, (byte*)_x_BE.Pointer, _scale_BM is null ? null : _scale_BM.Floats, _offsets, row, target);

    /// <summary>Puts the first <paramref name="rows"/> rows into a file.</summary>
    public void AddTo(SafetensorsWriter writer, int rows)
    {
        string type = Storage switch
        {
            StorageKind.BFloat16 => "BF16",
            StorageKind.Float32 => "F32",
            _ => "I8",
        };
        Add(writer, "x", type, _x_BE, rows, _e);
        if (_scale_BM is not null)
        {
            Add(writer, ShardFile.Scale, "F32", _scale_BM, rows, _widths.Length);
        }
    }

    public void Dispose()
    {
        _x_BE.Dispose();
        _scale_BM?.Dispose();
    }

    static ElementType TypeOf(StorageKind storage) => storage switch
    {
        StorageKind.BFloat16 => ElementType.BFloat16,
        StorageKind.Float32 => ElementType.Float32,
        _ => ElementType.Int8,
    };

    static void Add(SafetensorsWriter writer, string name, string type, HostBuffer values, int rows, int columns)
    {
        long bytes = (long)rows * columns * values.Type.Size();
        writer.AddBytes(name, type, [rows, columns], bytes, stream =>
        {
            for (long at = 0; at < bytes; at += WriteBytes)
            {
                stream.Write(new ReadOnlySpan<byte>((byte*)values.Pointer + at, (int)Math.Min(WriteBytes, bytes - at)));
            }
        });
    }
}
