using System.Globalization;
using Diffract.Compute.Buffers;
using Diffract.Formats;
using Diffract.Runs;

namespace Diffract.Activations;

/// <summary>
/// A shard: safetensors with <c>x</c> [rows, E] as bf16 or f32, and the moments of its rows before they were rounded, <c>mean</c> and <c>squares</c> [E] in double; metadata <c>first_row</c>.
/// Written whole or not at all.
/// </summary>
sealed unsafe class ShardFile : IDisposable
{
    const int WriteBytes = 1 << 24;
    readonly SafetensorsFile _file;
    readonly HostBuffer _view;

    ShardFile(SafetensorsFile file)
    {
        _file = file;
        TensorEntry x = file["x"];
        if (x.Shape.Length != 2 || !file.Metadata.TryGetValue("first_row", out string? first) || !long.TryParse(first, NumberStyles.None, CultureInfo.InvariantCulture, out long firstRow))
        {
            throw new DiffractException($"{file.FilePath} is not a shard of activations: wanted x [rows, E] and first_row");
        }

        (FirstRow, Rows, E) = (firstRow, (int)x.Shape[0], (int)x.Shape[1]);
        _view = file.View("x");
    }

    public long FirstRow { get; }

    public int Rows { get; }

    public int E { get; }

    public ElementType Type => _view.Type;

    public static FileSeal Save(string path, ShardPlan plan, HostBuffer rows_BE, int e, RunningMoments moments)
    {
        SafetensorsWriter writer = new();
        writer.Metadata["first_row"] = plan.FirstRow.ToString(CultureInfo.InvariantCulture);
        long bytes = (long)plan.Rows * e * rows_BE.Type.Size();
        writer.AddBytes("x", rows_BE.Type == ElementType.BFloat16 ? "BF16" : "F32", [plan.Rows, e], bytes, stream =>
        {
            for (long at = 0; at < bytes; at += WriteBytes)
            {
                stream.Write(new ReadOnlySpan<byte>((byte*)rows_BE.Pointer + at, (int)Math.Min(WriteBytes, bytes - at)));
            }
        });
        writer.Add("mean", moments.Mean, e);
        writer.Add("squares", moments.Squares, e);
        return writer.Save(path);
    }

    public static ShardFile Open(string path)
    {
        SafetensorsFile file = SafetensorsFile.Open(path);
        try
        {
            return new ShardFile(file);
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <summary>The shard if it is there and is the planned one; else null.</summary>
    public static ShardFile? TryOpen(string path, ShardPlan plan, int e, ElementType type)
    {
        if (!File.Exists(path))
        {
            return null;
        }

        ShardFile? shard = null;
        try
        {
            shard = Open(path);
            if ((shard.FirstRow, shard.Rows, shard.E, shard.Type) == (plan.FirstRow, plan.Rows, e, type))
            {
                return shard;
            }
        }
        catch (DiffractException)
        {
            // Damaged: it is made again.
        }

        shard?.Dispose();
        return null;
    }

    public RunningMoments Moments() => RunningMoments.Of(Rows, _file.Doubles("mean", E), _file.Doubles("squares", E));

    /// <summary>Row <paramref name="row"/> of the shard as float32.</summary>
    public void Read(int row, Span<float> target)
    {
        long at = (long)row * E;
        if (_view.Type == ElementType.BFloat16)
        {
            BFloat16.Widen(new ReadOnlySpan<ushort>((ushort*)_view.Pointer + at, E), target);
        }
        else
        {
            new ReadOnlySpan<float>((float*)_view.Pointer + at, E).CopyTo(target);
        }
    }

    public void Dispose()
    {
        _view.Dispose();
        _file.Dispose();
    }
}
