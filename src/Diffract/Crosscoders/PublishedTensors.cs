using System.Runtime.InteropServices;
using Diffract.Compute.Buffers;
using Diffract.Formats;
using Diffract.Runs;

namespace Diffract.Crosscoders;

/// <summary>
/// The published order of a crosscoder's tensors: encoder.weight [M, D, L], encoder.bias [L], decoder.weight [M, L, D], decoder.bias [M, D]; inside, latents are rows
/// and the models lie end to end. Adam's moments are kept in the same order under a prefix.
/// </summary>
public static class PublishedTensors
{
    /// <summary>Columns of the encoder that are turned at once.</summary>
    const int Block = 16;

    /// <summary>The prefix under which the file has an encoder: one of <paramref name="prefixes"/>, with "_orig_mod." (compiled models) or without; null when there is none.</summary>
    public static string? FindPrefix(SafetensorsFile file, params ReadOnlySpan<string> prefixes)
    {
        foreach (string prefix in prefixes)
        {
            foreach (string wrapped in (ReadOnlySpan<string>)[prefix, prefix + "_orig_mod."])
            {
                if (file.Tensors.ContainsKey(wrapped + "encoder.weight"))
                {
                    return wrapped;
                }
            }
        }

        return null;
    }

    /// <summary>Fills the four matrices from the tensors under <paramref name="prefix"/>. A bias of shape [M, L] (old files) is summed over the models.</summary>
    /// <exception cref="DiffractException">A tensor is missing or has another shape.</exception>
    public static void Read(SafetensorsFile file, string prefix, CrosscoderConfig config, Matrix wEnc_LE, Matrix bEnc_L, Matrix wDec_LE, Matrix bDec_E)
    {
        (int models, int width, int latents) = (config.Models, EqualWidth(config), config.Latents);
        using (TensorFloats enc_MDL = new(file, prefix + "encoder.weight", models, width, latents))
        {
            for (int m = 0; m < models; m++)
            {
                for (int d = 0; d < width; d++)
                {
                    ReadOnlySpan<float> row_L = enc_MDL.Slice(((long)m * width + d) * latents, latents);
                    for (int j = 0; j < latents; j++)
                    {
                        wEnc_LE.Row(j)[m * width + d] = row_L[j];
                    }
                }
            }
        }

        using (TensorFloats dec_MLD = new(file, prefix + "decoder.weight", models, latents, width))
        {
            for (int m = 0; m < models; m++)
            {
                for (int j = 0; j < latents; j++)
                {
                    dec_MLD.Slice(((long)m * latents + j) * width, width).CopyTo(wDec_LE.Row(j).Slice(m * width, width));
                }
            }
        }

        bool byModel = file[prefix + "encoder.bias"].Shape.Length == 2;
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

        file.Floats(prefix + "decoder.bias", models, width).CopyTo(bDec_E.Row(0));
    }

    /// <summary>Adds the four tensors under <paramref name="prefix"/>; they are turned while written.</summary>
    public static void Add(SafetensorsWriter writer, string prefix, CrosscoderConfig config, Matrix wEnc_LE, Matrix bEnc_L, Matrix wDec_LE, Matrix bDec_E)
    {
        (int models, int width, int latents) = (config.Models, EqualWidth(config), config.Latents);
        long bytes = (long)latents * config.E * sizeof(float);
        writer.AddBytes(prefix + "encoder.weight", "F32", [models, width, latents], bytes, s => WriteTurned(s, wEnc_LE));
        writer.Add(prefix + "encoder.bias", bEnc_L, latents);
        writer.Add(prefix + "decoder.bias", bDec_E, models, width);
        writer.AddBytes(prefix + "decoder.weight", "F32", [models, latents, width], bytes, s =>
        {
            for (int m = 0; m < models; m++)
            {
                for (int j = 0; j < latents; j++)
                {
                    s.Write(MemoryMarshal.AsBytes(wDec_LE.Row(j).Slice(m * width, width)));
                }
            }
        });
    }

    /// <summary>The one width of all models.</summary>
    /// <exception cref="DiffractException">Widths differ: the published layout has one axis for all.</exception>
    static int EqualWidth(CrosscoderConfig config)
        => config.Widths.All(w => w == config.Widths[0])
            ? config.Widths[0]
            : throw new DiffractException($"models of widths [{string.Join(", ", config.Widths)}] do not fit the published layout, which has one width; choose layers of equal width");

    static void WriteTurned(Stream stream, Matrix w_LE)
    {
        float[] block = new float[Block * w_LE.Rows];
        for (int first = 0; first < w_LE.Columns; first += Block)
        {
            int count = Math.Min(Block, w_LE.Columns - first);
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

        public TensorFloats(SafetensorsFile file, string name, params ReadOnlySpan<long> shape)
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
