using System.Globalization;
using Diffract.Compute.Buffers;
using Diffract.Formats;
using Diffract.Runs;

namespace Diffract.Activations;

/// <summary>
/// A shard: safetensors with <c>x</c> [rows, E] as bf16, f32 or 8-bit codes with their <c>scale</c> [rows, M], and of its rows the moments before they were rounded, <c>mean</c> and <c>squares</c> [E], and what
/// rounding took, <c>lost</c> [E], all in double; metadata <c>first_row</c>. Written whole or not at all.
/// </summary>
sealed unsafe class ShardFile : IShard
{
    internal const string Scale = "scale";
    const string Lost = "lost";
    readonly SafetensorsFile _file;
    readonly int[] _offsets;
    readonly byte* _x_BE;
    readonly float* _scale_BM;

    ShardFile(SafetensorsFile file, int[] modelOffsets)
    {
        (_file, _offsets) = (file, modelOffsets);
        TensorEntry x = file["x"];
        int e = modelOffsets[^1];
        if (x.Shape.Length != 2 || !file.Metadata.TryGetValue("first_row", out string? first) || !long.TryParse(first, NumberStyles.None, CultureInfo.InvariantCulture, out long firstRow))
        {
            throw new DiffractException($"{file.FilePath} is not a shard of activations: wanted x [rows, E] and first_row");
        }

        if (x.Shape[1] != e || x.Shape[0] > int.MaxValue)
        {
            throw new DiffractException($"{file.FilePath} holds rows of width {x.Shape[1]}, wanted {e}: foreign or damaged; run `diffract harvest --fresh`");
        }

        (FirstRow, Rows) = (firstRow, (int)x.Shape[0]);
        Storage = x.Type switch
        {
            "BF16" => StorageKind.BFloat16,
            "F32" => StorageKind.Float32,
            "I8" => StorageKind.Int8,
            _ => throw new DiffractException($"{file.FilePath}: tensor x is {x.Type}, wanted BF16, F32 or I8"),
        };
        _x_BE = file.Start(x);
        if (Storage == StorageKind.Int8)
        {
            TensorEntry scale = file[Scale];
            _scale_BM = scale.Type == "F32" && scale.Shape is [var rows, var models] && rows == Rows && models == modelOffsets.Length - 1
                ? (float*)file.Start(scale)
                : throw new DiffractException($"{file.FilePath}: tensor scale is {scale.Type} [{string.Join(", ", scale.Shape)}], wanted F32 [{Rows}, {modelOffsets.Length - 1}]");
        }
    }

    public long FirstRow { get; }

    public int Rows { get; }

    public StorageKind Storage { get; }

    public static FileSeal Save(string path, ShardPlan plan, ShardRows rows_BE, RunningMoments moments)
    {
        int e = moments.Mean.Length;
        SafetensorsWriter writer = new();
        writer.Metadata["first_row"] = plan.FirstRow.ToString(CultureInfo.InvariantCulture);
        rows_BE.AddTo(writer, plan.Rows);
        writer.Add("mean", moments.Mean, e);
        writer.Add("squares", moments.Squares, e);
        writer.Add(Lost, moments.Lost, e);
        return writer.Save(path);
    }

    /// <param name="path">File.</param>
    /// <param name="modelOffsets">[M + 1]: where each model's columns begin.</param>
    public static ShardFile Open(string path, int[] modelOffsets)
    {
        SafetensorsFile file = SafetensorsFile.Open(path);
        try
        {
            return new ShardFile(file, modelOffsets);
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <summary>The shard if it is there and is the planned one; else null.</summary>
    public static ShardFile? TryOpen(string path, ShardPlan plan, int[] modelOffsets, StorageKind storage)
    {
        if (!File.Exists(path))
        {
            return null;
        }

        ShardFile? shard = null;
        try
        {
            shard = Open(path, modelOffsets);

            // One of an earlier version does not say what rounding took.
            if ((shard.FirstRow, shard.Rows, shard.Storage) == (plan.FirstRow, plan.Rows, storage) && shard._file.Tensors.ContainsKey(Lost))
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

    public RunningMoments Moments()
    {
        int e = _offsets[^1];
        return RunningMoments.Of(Rows, _file.Doubles("mean", e), _file.Doubles("squares", e), _file.Doubles(Lost, e));
    }

    /// <summary>Row <paramref name="row"/> of the shard as float32.</summary>
    public void Read(int row, Span<float> target) => Read(Storage, _x_BE, _scale_BM, _offsets, row, target);

    /// <summary>Row <paramref name="row"/> of rows that are kept as <paramref name="storage"/> says, as float32: what a shard gives, and a window of a stream.</summary>
    public static void Read(StorageKind storage, byte* x_BE, float* scale_BM, ReadOnlySpan<int> modelOffsets, long row, Span<float> target)
    {
        int e = modelOffsets[^1], models = modelOffsets.Length - 1;
        long at = row * e;
        switch (storage)
        {
            case StorageKind.BFloat16:
                BFloat16.Widen(new ReadOnlySpan<ushort>((ushort*)x_BE + at, e), target);
                break;
            case StorageKind.Float32:
                new ReadOnlySpan<float>((float*)x_BE + at, e).CopyTo(target);
                break;
            default:
                for (int m = 0; m < models; m++)
                {
                    int from = modelOffsets[m], width = modelOffsets[m + 1] - from;
                    ScaledInt8.Widen(new ReadOnlySpan<sbyte>((sbyte*)x_BE + at + from, width), scale_BM[(row * models) + m], target[from..]);
                }

                break;
        }
    }

    public void Dispose() => _file.Dispose();
}
