using System.Runtime.InteropServices;
using System.Text.Json.Nodes;
using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Formats;
using Diffract.Runs;

namespace Diffract.Crosscoders;

/// <summary>
/// Encoding a loose file: <c>x</c> [N, M, D] (SAEs [N, D]), raw, to <c>code</c> [N, L] (unscaled; decoupled [N, M, L]) and <c>reconstruction</c>, of the shape of x and raw too; a file with a
/// tensor for each model, <c>x.0</c> [N, D0], <c>x.1</c> [N, D1], gets <c>reconstruction.0</c>, <c>reconstruction.1</c>.
/// </summary>
public static class LooseEncoding
{
    const int Batch = 1024;

    /// <param name="folder">The crosscoder.</param>
    /// <param name="activations">safetensors to read.</param>
    /// <param name="output">safetensors to write.</param>
    /// <param name="scale">What was said of its input scale.</param>
    /// <param name="backend">Where kernels run.</param>
    /// <param name="progress">Who listens.</param>
    /// <param name="stop">Ctrl-C.</param>
    public static void Run(string folder, string activations, string output, InputScale scale, IBackend backend, IProgressSink progress, CancellationToken stop)
        => Run(folder, activations, output, scale, null, backend, progress, stop);

    /// <summary>The same, and what the reconstruction is worth (<see cref="DictionaryMetrics"/>) in the JSON file <paramref name="metrics"/>; null: nowhere.</summary>
    public static void Run(
        string folder, string activations, string output, InputScale scale, string? metrics, IBackend backend, IProgressSink progress, CancellationToken stop)
    {
        using Crosscoder crosscoder = CrosscoderFolder.Load(folder, backend);
        if (crosscoder.ThresholdUnset)
        {
            progress.Warn($"{folder} has no inference threshold ({string.Join(", ", crosscoder.Thresholds)}): every positive latent is kept, the code is dense");
        }

        LooseActivations acts = LooseActivations.Read(activations, crosscoder.Config, folder);
        InputScaling.Apply(crosscoder, folder, scale, acts, acts, "encode", progress, stop);
        long tokens = acts.Rows;
        Encoder encoder = new(crosscoder, acts, progress, stop);
        SafetensorsWriter writer = new();
        long[] code = crosscoder.Decoupled ? [tokens, crosscoder.Models, crosscoder.Latents] : [tokens, crosscoder.Latents];
        writer.AddBytes("code", "F32", code, code.Aggregate((a, b) => a * b) * sizeof(float), encoder.WriteCode);
        int[] widths = crosscoder.Config.Widths, offsets = crosscoder.ModelOffsets;
        if (acts.ByModel)
        {
            for (int m = 0; m < widths.Length; m++)
            {
                int model = m;
                writer.AddBytes($"reconstruction.{m}", "F32", [tokens, widths[m]], tokens * widths[m] * sizeof(float), s => encoder.WriteReconstruction(s, offsets[model], widths[model]));
            }
        }
        else
        {
            long[] shape = crosscoder.Config.Sae ? [tokens, widths[0]] : [tokens, crosscoder.Models, widths[0]];
            writer.AddBytes("reconstruction", "F32", shape, tokens * crosscoder.E * sizeof(float), s => encoder.WriteReconstruction(s, 0, crosscoder.E));
        }

        writer.Save(output);
        if (metrics is not null)
        {
            AtomicFile.WriteText(metrics, encoder.Measure().ToJsonString(Provenance.Json) + "\n");
        }

        progress.Done("encode", FormattableString.Invariant($"{tokens} tokens, L0 {encoder.Pairs / (double)tokens:F2}, {output}"));
    }

    /// <summary>The file's tensors, a batch at a time; each is written in a pass of its own.</summary>
    sealed class Encoder(Crosscoder crosscoder, LooseActivations acts, IProgressSink progress, CancellationToken stop)
    {
        public long Pairs { get; private set; }

        public void WriteCode(Stream stream)
        {
            int latents = crosscoder.Latents;
            float[] code_ML = new float[(crosscoder.Decoupled ? crosscoder.Models : 1) * latents];
            Pairs = 0;
            ForEach((code, _) =>
            {
                Pairs += code.Pairs;
                Span<int> start = code.TokenStart.Span<int>();
                for (int b = 0; b < code.Tokens; b++)
                {
                    Array.Clear(code_ML);
                    for (int i = start[b]; i < start[b + 1]; i++)
                    {
                        int pair = code.TokenPairs.Span<int>()[i], latent = code.TokenLatent.Span<int>()[i];
                        int active = code.ModelOffsets is null ? 1 : code.PairModels!.Span<int>()[pair];
                        for (int m = 0; m * latents < code_ML.Length; m++)
                        {
                            code_ML[m * latents + latent] = (active >> m & 1) != 0 ? code.PairValue.Span<float>()[pair] : 0;
                        }
                    }

                    stream.Write(MemoryMarshal.AsBytes(code_ML.AsSpan()));
                }
            });
        }

        public void WriteReconstruction(Stream stream, int first, int width)
        {
            Matrix recon_BE = crosscoder.Backend.Matrix(Batch, crosscoder.E);
            ForEach((code, done) =>
            {
                Matrix part_BE = recon_BE.SliceRows(0, code.Tokens);
                crosscoder.Decode(code, part_BE);
                for (int b = 0; b < code.Tokens; b++)
                {
                    stream.Write(MemoryMarshal.AsBytes(part_BE.Row(b).Slice(first, width)));
                }

                progress.Report("encode", done, acts.Rows, "tokens");
            });
            recon_BE.Buffer.Dispose();
        }

        public JsonObject Measure()
        {
            DictionaryMetrics metrics = new(crosscoder);
            Matrix recon_BE = crosscoder.Backend.Matrix(Batch, crosscoder.E), acts_BE = crosscoder.Backend.Matrix(Batch, crosscoder.E);
            ForEach((code, done) =>
            {
                crosscoder.Decode(code, recon_BE.SliceRows(0, code.Tokens));
                acts.Copy(done - code.Tokens, acts_BE.SliceRows(0, code.Tokens));
                metrics.Add(acts_BE.SliceRows(0, code.Tokens), recon_BE.SliceRows(0, code.Tokens), code);
            });
            recon_BE.Buffer.Dispose();
            acts_BE.Buffer.Dispose();
            return metrics.ToJson();
        }

        void ForEach(Action<SparseCode, int> each)
        {
            Matrix acts_BE = crosscoder.Backend.Matrix(Batch, crosscoder.E);
            using SparseCode code = crosscoder.NewCode(Batch);
            for (int first = 0; first < acts.Rows; first += Batch)
            {
                stop.ThrowIfCancellationRequested();
                int count = Math.Min(Batch, acts.Rows - first);
                Matrix part_BE = acts_BE.SliceRows(0, count);
                acts.Copy(first, part_BE);
                crosscoder.Encode(part_BE, code);
                each(code, first + count);
            }

            acts_BE.Buffer.Dispose();
        }
    }
}
