using System.Runtime.InteropServices;
using Diffract.Compute.Buffers;
using Diffract.Formats;
using Diffract.Runs;

namespace Diffract.Crosscoders;

/// <summary>
/// The published order of a crosscoder's tensors: encoder.weight [models read, D, L], encoder.bias [L], decoder.weight [M, L, D], decoder.bias [M, D]; of an SAE encoder.weight [L, D],
/// encoder.bias [L], decoder.weight [D, L], b_dec [D]. Models of different widths have tensors of their own instead, which are ours and no published form: encoder.weight.m [D_m, L] of the models read,
/// decoder.weight.m [L, D_m], decoder.bias.m [D_m]. Inside, latents are rows and the models lie end to end. Adam's moments are kept in the same order under a prefix.
/// </summary>
public static class PublishedTensors
{
    /// <summary>Columns of the encoder that are turned at once.</summary>
    const int Block = 16;

    /// <summary>The prefix under which the file has an encoder: one of <paramref name="prefixes"/>, with "_orig_mod." (compiled models) or without; null when there is none.</summary>
    public static string? FindPrefix(TensorFile file, params ReadOnlySpan<string> prefixes)
    {
        foreach (string prefix in prefixes)
        {
            foreach (string wrapped in (ReadOnlySpan<string>)[prefix, prefix + "_orig_mod."])
            {
                if (file.Tensors.ContainsKey(wrapped + "encoder.weight") || file.Tensors.ContainsKey(wrapped + "decoder.weight.0"))
                {
                    return wrapped;
                }
            }
        }

        return null;
    }

    /// <summary>Name of the tensor that holds the decoder's bias.</summary>
    public static string DecoderBias(CrosscoderConfig config) => config.Sae ? "b_dec" : "decoder.bias";

    /// <summary>
    /// Fills the four matrices from the tensors under <paramref name="prefix"/>. A bias of shape [M, L] (old files) is summed over the models; columns of models that are not read become 0.
    /// </summary>
    /// <exception cref="DiffractException">A tensor is missing or has another shape.</exception>
    public static void Read(TensorFile file, string prefix, CrosscoderConfig config, Matrix wEnc_LE, Matrix bEnc_L, Matrix wDec_LE, Matrix bDec_E)
    {
        (int models, int width, int latents) = (config.Models, config.Widths[0], config.Latents);
        if (!config.EqualWidths)
        {
            ReadByModel(file, prefix, config, wEnc_LE, bEnc_L, wDec_LE, bDec_E);
            return;
        }

        if (config.Sae)
        {
            using TensorFloats enc_LE = new(file, prefix + "encoder.weight", latents, width), dec_EL = new(file, prefix + "decoder.weight", width, latents);
            ReadRows(enc_LE, 0, wEnc_LE);
            ReadTurned(dec_EL, 0, wDec_LE);
        }
        else
        {
            int[] read = config.ReadModels;
            using TensorFloats enc_MDL = new(file, prefix + "encoder.weight", read.Length, width, latents), dec_MLD = new(file, prefix + "decoder.weight", models, latents, width);
            for (int m = 0; m < models; m++)
            {
                ReadRows(dec_MLD, (long)m * latents * width, wDec_LE.SliceColumns(m * width, width));
                if (Array.IndexOf(read, m) is >= 0 and int i)
                {
                    ReadTurned(enc_MDL, (long)i * latents * width, wEnc_LE.SliceColumns(m * width, width));
                }
            }
        }

        bool byModel = !config.Sae && file[prefix + "encoder.bias"].Shape.Length == 2;
        float[] bias = byModel ? file.Floats(prefix + "encoder.bias", models, latents) : file.Floats(prefix + "encoder.bias", latents);
        for (int j = 0; j < latents; j++)
        {
            double sum = 0;
            for (int m = 0; m < (byModel ? models : 1); m++)
            {
                sum += bias[m * latents + j];
            }

            bEnc_L.Row(0)[j] = (float)sum;
        }

        (config.Sae ? file.Floats(prefix + "b_dec", width) : file.Floats(prefix + "decoder.bias", models, width)).CopyTo(bDec_E.Row(0));
    }

    /// <summary>Adds the four tensors under <paramref name="prefix"/>; they are turned while written.</summary>
    public static void Add(TensorList writer, string prefix, CrosscoderConfig config, Matrix wEnc_LE, Matrix bEnc_L, Matrix wDec_LE, Matrix bDec_E)
    {
        (int models, int width, int latents) = (config.Models, config.Widths[0], config.Latents);
        if (!config.EqualWidths)
        {
            AddByModel(writer, prefix, config, wEnc_LE, bEnc_L, wDec_LE, bDec_E);
            return;
        }

        long bytes = (long)latents * config.E * sizeof(float);
        if (config.Sae)
        {
            writer.AddBytes(prefix + "encoder.weight", "F32", [latents, width], bytes, s => WriteRows(s, wEnc_LE, 0, width));
            writer.Add(prefix + "encoder.bias", bEnc_L, latents);
            writer.Add(prefix + "b_dec", bDec_E, width);
            writer.AddBytes(prefix + "decoder.weight", "F32", [width, latents], bytes, s => WriteTurned(s, wDec_LE, 0, width));
            return;
        }

        int[] read = config.ReadModels;
        writer.AddBytes(prefix + "encoder.weight", "F32", [read.Length, width, latents], bytes / models * read.Length, s =>
        {
            foreach (int m in read)
            {
                WriteTurned(s, wEnc_LE, m * width, width);
            }
        });
        writer.Add(prefix + "encoder.bias", bEnc_L, latents);
        writer.Add(prefix + "decoder.bias", bDec_E, models, width);
        writer.AddBytes(prefix + "decoder.weight", "F32", [models, latents, width], bytes, s =>
        {
            for (int m = 0; m < models; m++)
            {
                WriteRows(s, wDec_LE, m * width, width);
            }
        });
    }

    static void ReadByModel(TensorFile file, string prefix, CrosscoderConfig config, Matrix wEnc_LE, Matrix bEnc_L, Matrix wDec_LE, Matrix bDec_E)
    {
        foreach ((int first, int width, int m) in Models(config))
        {
            using TensorFloats dec_LD = new(file, $"{prefix}decoder.weight.{m}", config.Latents, width);
            ReadRows(dec_LD, 0, wDec_LE.SliceColumns(first, width));
            file.Floats($"{prefix}decoder.bias.{m}", width).CopyTo(bDec_E.Row(0)[first..]);
            if (config.ReadModels.Contains(m))
            {
                using TensorFloats enc_DL = new(file, $"{prefix}encoder.weight.{m}", width, config.Latents);
                ReadTurned(enc_DL, 0, wEnc_LE.SliceColumns(first, width));
            }
        }

        file.Floats(prefix + "encoder.bias", config.Latents).CopyTo(bEnc_L.Row(0));
    }

    static void AddByModel(TensorList writer, string prefix, CrosscoderConfig config, Matrix wEnc_LE, Matrix bEnc_L, Matrix wDec_LE, Matrix bDec_E)
    {
        foreach ((int first, int width, int m) in Models(config))
        {
            long bytes = (long)config.Latents * width * sizeof(float);
            if (config.ReadModels.Contains(m))
            {
                writer.AddBytes($"{prefix}encoder.weight.{m}", "F32", [width, config.Latents], bytes, s => WriteTurned(s, wEnc_LE, first, width));
            }

            writer.AddBytes($"{prefix}decoder.weight.{m}", "F32", [config.Latents, width], bytes, s => WriteRows(s, wDec_LE, first, width));
            writer.Add($"{prefix}decoder.bias.{m}", bDec_E.Row(0).Slice(first, width).ToArray(), width);
        }

        writer.Add(prefix + "encoder.bias", bEnc_L, config.Latents);
    }

    static IEnumerable<(int First, int Width, int Model)> Models(CrosscoderConfig config) => config.Widths.Select((w, m) => (config.ModelOffsets[m], w, m));

    /// <summary>Row j of the target from the elements first + j·columns on.</summary>
    static void ReadRows(TensorFloats source, long first, Matrix target)
    {
        for (int j = 0; j < target.Rows; j++)
        {
            source.Slice(first + (long)j * target.Columns, target.Columns).CopyTo(target.Row(j));
        }
    }

    /// <summary>Column d of the target from the elements first + d·rows on.</summary>
    static void ReadTurned(TensorFloats source, long first, Matrix target)
    {
        for (int d = 0; d < target.Columns; d++)
        {
            ReadOnlySpan<float> column = source.Slice(first + (long)d * target.Rows, target.Rows);
            for (int j = 0; j < column.Length; j++)
            {
                target.Row(j)[d] = column[j];
            }
        }
    }

    static void WriteRows(Stream stream, Matrix w_LE, int first, int count)
    {
        for (int j = 0; j < w_LE.Rows; j++)
        {
            stream.Write(MemoryMarshal.AsBytes(w_LE.Row(j).Slice(first, count)));
        }
    }

    internal static void WriteTurned(Stream stream, Matrix w_LE, int from, int columns)
    {
        float[] block = new float[Block * w_LE.Rows];
        for (int first = from; first < from + columns; first += Block)
        {
            int count = Math.Min(Block, from + columns - first);
            for (int j = 0; j < w_LE.Rows; j++)
            {
                ReadOnlySpan<float> part = w_LE.Row(j).Slice(first, count);
                for (int i = 0; i < count; i++)
                {
                    block[i * w_LE.Rows + j] = part[i];
                }
            }

            stream.Write(MemoryMarshal.AsBytes(block.AsSpan(0, count * w_LE.Rows)));
        }
    }

    /// <summary>A tensor's elements as float32: in place where they are stored so, else a widened copy.</summary>
    sealed unsafe class TensorFloats : IDisposable
    {
        readonly HostBuffer? _view;
        readonly float[]? _copy;

        public TensorFloats(TensorFile file, string name, params ReadOnlySpan<long> shape)
        {
            TensorEntry entry = file[name];
            if (!shape.SequenceEqual(entry.Shape))
            {
                throw new DiffractException(
                    $"{file.FilePath}: tensor {name} has the shape [{string.Join(", ", entry.Shape)}], wanted [{string.Join(", ", shape.ToArray())}]");
            }

            if (entry.Type == "F32")
            {
                _view = file.View(name);
            }
            else
            {
                _copy = file.Floats(name);
            }
        }

        public ReadOnlySpan<float> Slice(long first, int count)
            => _view is not null ? new ReadOnlySpan<float>(_view.Floats + first, count) : _copy.AsSpan(checked((int)first), count);

        public void Dispose() => _view?.Dispose();
    }
}
